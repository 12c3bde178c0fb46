// Package wire is the Kafka socket: it accepts connections, reads requests, hands each to the
// handler of its API, and writes the answers.
//
// It promises to handlers and clients:
//
//	order     requests of a connection are handed over in the order in which they were read, and
//	          their answers leave in that order, whatever order they become ready in
//	bounded   no byte is allocated on a peer's word before it is charged to one budget shared by
//	          all connections; past the budget, past MaxInFlight requests of a connection, or past
//	          MaxConnections, sockets are not read and clients slow down
//	fair      what its clients do together stays within the quota set; who overdraws is answered, told for
//	          how long to wait, and not read meanwhile
//	honest    what cannot be understood is logged by client and closed, never guessed at; an
//	          unserved version of ApiVersions is answered in version 0 so that clients step down
//	complete  a request that was handed over is answered, or its connection is closed; Reply.Done
//	          and the release of its bytes happen in either case, once
//
// Words: a frame is a length and that many bytes; a request is a frame understood; a reply is what
// a handler gives back for it; an API is a key with the versions advertised, those served, and the
// handler. Sizes are bytes, the Kafka codes travel as they are.
//
// Metrics:
//
//	isthmus_wire_connections                        open now
//	isthmus_wire_connections_total{result}          accepted, refused (over the cap), handshake (failed)
//	isthmus_wire_requests_total{api}                requests handed to handlers
//	isthmus_wire_request_seconds{api}               from the frame read to the answer written
//	isthmus_wire_refused_total{reason}              frames and requests that closed their connection
//	isthmus_wire_quota{quota}                       bytes_in, bytes_out, requests a second, connections; 0: no bound
//	isthmus_wire_throttled_seconds_total{quota}     for which connections were not read, by the quota overdrawn
//	isthmus_wire_in_flight_bytes                    charged to the budget now
//	isthmus_wire_read_bytes_total, isthmus_wire_written_bytes_total
package wire
