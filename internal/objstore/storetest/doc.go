// Package storetest is the suite that every store passes: what package objstore promises, as tests.
//
// Run takes a store that is empty, or a store of its own under a fresh prefix. It puts at most a few dozen MiB, deletes
// nothing at the end, and asserts nothing about time.
package storetest
