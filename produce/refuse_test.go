package produce

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/wire"
)

func ask(t *testing.T, api wire.API, req *kmsg.ProduceRequest) wire.Reply {
	t.Helper()
	var got []wire.Reply
	api.Handler.Serve(t.Context(), &wire.Request{Version: req.Version, ClientID: "shipper", Body: req}, func(p wire.Reply) { got = append(got, p) })
	if len(got) != 1 {
		t.Fatalf("%d replies", len(got))
	}
	return got[0]
}

// A fetch-only agent answers 44 per partition, names its group and roles, and advertises the
// same versions as any other: librdkafka draws conclusions from them.
func TestRefuse(t *testing.T) {
	var log bytes.Buffer
	api := Refusal{Group: "analytics", Roles: []string{"fetch", "jobs"}, Log: slog.New(slog.NewTextHandler(&log, nil))}.API()
	serving := API(&Handler{})
	if api.Key != serving.Key || api.Min != serving.Min || api.Max != serving.Max || api.ServeMin != serving.ServeMin {
		t.Errorf("versions %+v, the role's are %+v", api, serving)
	}
	for version := int16(3); version <= api.Max; version++ {
		req := request(-1, part{"events", 0, batchOf(1)}, part{"events", 1, nil}, part{"other", 5, nil})
		req.Version = version
		body := ask(t, api, req).Body.(*kmsg.ProduceResponse).AppendTo(nil)
		res := kmsg.NewPtrProduceResponse()
		res.Version = version
		if err := res.ReadFrom(body); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if len(res.Topics) != 2 || len(res.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: %+v", version, res)
		}
		p := res.Topics[1].Partitions[0]
		if p.Partition != 5 || p.ErrorCode != 44 || p.BaseOffset != -1 {
			t.Errorf("version %d: %+v", version, p)
		}
		if version >= 8 && (p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, `"analytics" have the roles [fetch, jobs]`)) {
			t.Errorf("version %d: message %v", version, p.ErrorMessage)
		}
	}
	if n := strings.Count(log.String(), "client_id=shipper"); n != 1 {
		t.Errorf("%d lines are logged for one client:\n%s", n, log.String())
	}
	if p := ask(t, Refusal{Group: "analytics", Roles: []string{"fetch"}}.API(), request(0, part{"events", 0, nil})); !p.Close || p.Body != nil {
		t.Errorf("acks=0: %+v", p)
	}
}
