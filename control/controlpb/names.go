package controlpb

// What the control plane says beside an answer, in gRPC's metadata.
const (
	// ReadyHeader is sent when a stream stands at the leader.
	ReadyHeader = "isthmus-ready"
	// RefusedTrailer goes with an error when the call certainly was not carried out.
	RefusedTrailer = "isthmus-refused"
	// EndedTrailer goes with an error when the caller's session has ended.
	EndedTrailer = "isthmus-session-ended"
)
