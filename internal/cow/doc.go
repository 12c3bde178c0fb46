// Package cow holds arrays that can be marked in a moment and read at leisure: one goroutine
// goes on changing them while another reads them as they stood at the mark.
//
// The promise: a View sees exactly the values of the moment it was taken, for as long as it is
// kept, without a lock, and taking it copies no values, only one pointer a page.
//
// Words:
//
//	slab   an array of values of one size, in pages; a page is copied when it is first
//	       changed after a mark
//	pool   blocks of values that are only ever appended to, each owned by somebody; nothing is
//	       copied, and a block that is freed waits until no view can still read it
//
// A Slab or a Pool belongs to one goroutine; its views may be read by any number. Neither gives
// memory back: it is kept for the values to come.
package cow
