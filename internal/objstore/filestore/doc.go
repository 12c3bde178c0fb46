// Package filestore is a bucket in a folder, for one machine or a shared file system.
//
// It promises what every store does (package objstore), and these:
//
//	once      of any number of processes that put a key at the same time, one wins: the object is
//	          written to a temporary file and then linked to its name, which fails when the name is taken
//	whole     a name never leads to part of an object, also after a crash: bytes are synced before the link
//	durable   a put that succeeded survives a loss of power: the folder is synced after the link
//	inside    no key leads out of the folder
//	bounded   listing holds at most a page of names for each level of folders
//
// The folder is made at the first put when its parent exists; once seen, it is never made
// again, for then somebody has taken a disk away. A deletion is not synced: an object that comes back after
// a loss of power is litter that the sweep finds again.
//
// Temporary files live in the folder .tmp beside the objects, on the same file system so that they can be
// linked. What a crash leaves there is never listed, and removed by the first put of a
// process when it is older than a day.
//
// An object and a folder cannot have the same name: with a/b stored, a is refused as
// invalid. The clock of this store is the modification time of a file just written.
package filestore
