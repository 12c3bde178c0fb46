package wire

import (
	"context"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, key 18, versions 0 to 4: what this listener speaks, the same on every agent whatever
// its role, for clients draw conclusions from pairs of keys.
//
// A version that is not served is answered in version 0 with error 35 and the range of this request
// alone (KIP-511), and the connection lives on: every recent client opens with a version too high.
// The answer's header never has tags. Version 3 brings the client's name and version. Left out:
// features, none of which is finalized, and version 5 (KIP-1242).

const (
	keyProduce     = int16(kmsg.Produce)
	keyFetch       = int16(kmsg.Fetch)
	keyApiVersions = int16(kmsg.ApiVersions)
)

// softwareName is what Kafka accepts as the name or version of a client's software.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$`)

func (s *Server) apiVersions() API {
	return API{Key: keyApiVersions, Min: 0, Max: 4, ServeMin: 0, Handler: HandlerFunc(s.serveApiVersions)}
}

func (s *Server) serveApiVersions(_ context.Context, r *Request, reply func(Reply)) {
	req := r.Body.(*kmsg.ApiVersionsRequest)
	resp := kmsg.NewPtrApiVersionsResponse()
	if r.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			resp.ErrorCode = kerr.InvalidRequest.Code
			reply(Reply{Body: resp})
			return
		}
		r.Conn.setSoftware(req.ClientSoftwareName, req.ClientSoftwareVersion)
	}
	resp.ApiKeys = s.versions
	reply(Reply{Body: resp})
}

// advertise lists the ranges of apis by key.
func advertise(apis []API) []kmsg.ApiVersionsResponseApiKey {
	keys := make([]kmsg.ApiVersionsResponseApiKey, 0, len(apis))
	for _, a := range apis {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.Key, a.Min, a.Max
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
	return keys
}

// stepDown tells a client which versions of ApiVersions itself are served.
func stepDown(maxVersion int16) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MaxVersion = keyApiVersions, maxVersion
	resp.ApiKeys = append(resp.ApiKeys, k)
	return resp
}

// emptyApiVersions stands for a request whose body could not be read, in version 0.
func emptyApiVersions() kmsg.Request { return kmsg.NewPtrApiVersionsRequest() }
