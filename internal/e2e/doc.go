// Package e2e runs isthmus as its users do: as processes, with programs that know nothing of
// it. Its tests need the build tag e2e and what scripts/e2e.sh installs and starts; they
// fail, and never skip, when something is absent.
//
// # Clients
//
// TestClients asks every client library the same questions. A library is a driver, a small program in its own
// language below clients/, which scripts/clients/NAME.sh installs, pinned, as .cache/clients/NAME/driver:
//
//	driver version
//	driver produce --bootstrap B --topic T --count N --codec none|gzip|snappy|lz4|zstd --size BYTES --tag TAG
//	               [--idempotent true|false] [--partition P] [--timeout 60s] [--linger MS]
//	driver consume --bootstrap B --topic T --count N [--group G] [--timeout 60s] [--commit true|false]
//	               [--stay true] [--from earliest|committed] [--isolation read_uncommitted|read_committed]
//	driver seek    --bootstrap B --topic T --count N --timestamp MS [--timeout 60s]
//
// Without --isolation it is what the library does by itself. Record i has the key TAG-i and the value TAG-i,
// padded with x to its size. A driver prints a JSON line for everything that happens, at once, and logs to its
// standard error. It ends with code 0 when the conversation has ended,
// with whatever errors, also on SIGTERM after it has left its group:
//
//	{"event":"error","code":44,"name":"POLICY_VIOLATION","message":"..."}    Kafka's code, and what the library says
//	{"event":"assigned","partitions":[0,1]}  {"event":"revoked","partitions":[0]}
//	{"partition":0,"offset":12,"key":"TAG-3","value":"TAG-3","size":100,"timestamp":1700000000000}
//	{"event":"offset","partition":0,"offset":12}    what seek found, -1 for nothing
//	{"event":"committed"}
//	{"event":"done","acked":20,"failed":0}  {"event":"done","read":20}  {"event":"timeout","read":3}
//	{"event":"unsupported","message":"..."}    the library has no means to do what was asked
//
// To add a client: write its driver, add its script, name it in the table of clients, and let make compatibility
// write docs/compatibility.md. What drivers in one language have in common, the command line and the lines, is written
// once: clients/python/conversation.py, clients/node/conversation.mjs, package talk in clients/go, a module of its own.
package e2e
