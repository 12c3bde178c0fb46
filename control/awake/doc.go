// Package awake is a clock for other people's silence.
//
// Who decides by silence that somebody is gone must have been listening. A process that was stopped, or
// starved of CPU, hears nothing for as long, and what was said to it waits in its sockets: on any other
// clock its first act would be to end the sessions of all who had kept theirs. This clock moves with the
// monotonic one, but by no more than Most between two looks at it. Its owner looks more often than that
// while it runs, so that only the time in which it did not run is left out.
package awake
