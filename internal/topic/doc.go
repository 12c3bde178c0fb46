// Package topic has the words in which all packages speak of topics: which topic, which partition,
// which offset, and what a topic's configs say.
//
// It promises that a name, a place or a config means the same everywhere: what a topic may be called
// (CheckName) and which configs it may be given (ParseConfig) is decided here, once, by the rules of
// Apache Kafka 4, and every refusal names what it refuses and why. It decides and stores nothing else,
// so that every other package can share it without sharing anything more.
//
// Words: an ID is for good, a name is not; an Offset counts records from 0; an override is a config
// set on one topic; a config is honoured, accepted (checked, stored, described, without effect) or
// refused, as the table in config_table.go says of each.
//
// The package has no metrics: it does no input or output.
package topic
