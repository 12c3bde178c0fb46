// Command bench measures isthmus beside Apache Kafka: one command, one run, one table.
//
//	go run ./bench run            every case, on every system it names
//	go run ./bench run -short     one round of each case, seconds long: that it runs, and that nothing is lost
//	go run ./bench table FILE     the table of a result
//	go run ./bench compare A B    the ratios of two results, with a test of significance
//
// A case is one load; a sample is one case, on one system, in one round. Systems take turns within a round, so that
// whatever else the machine does meets all of them alike. The load is internal/bench (franz-go), the same for
// all. Every sample fails when a record is lost or comes twice, and where there are readers when one is out of order.
//
// MB are 10^6 bytes of record values as the application sees them. CPU is user and system time of all
// processes of the system (for isthmus its control plane and agents; for Kafka its brokers) in the measured time,
// warm-up excluded. Their data lies on a tmpfs, and is removed after each sample.
package main
