// Package controlpb is the conversation between agents and the control plane, and what the
// control plane's log holds: generated from control.proto and command.proto by make gen.
package controlpb
