// Package segment is isthmus's object: record batches of many partitions of one
// share, from one flush of one agent, and the words in which agents and control
// plane speak of it.
//
// It promises that a segment's bytes follow from its batches and its id alone (hedges are
// byte-identical); that what is read is what was written and what was asked for, or an error;
// that nothing is allocated for a length that has not been bounded; and that manifests, answers
// and keys have one form, which both ends check. docs/architecture/segment-format.md describes
// every byte.
//
// Words: an extent is the contiguous bytes of one partition; a row is what is placed as one, so
// that an extent holds one row or several; a manifest is the rows of a segment; a placement is
// the offset that a row is given; a hedge is a second upload of the same bytes under another nonce.
//
// In reading order: segment.go and query.go have the words, key.go names objects, layout.go is
// the format, builder.go writes it, reader.go reads it, encode.go and answers.go are what
// crosses the network, inspect.go and print.go serve the command line.
//
// The package has no metrics: it does no input or output of its own.
package segment
