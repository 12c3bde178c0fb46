package s3store

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/isthmusdata/isthmus/internal/meter"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/metered"
)

// TestRepeatsAreCounted: whoever counts for a share hears of each request that reaches the server, also of those that the store sends again
// by itself: after an error, and after an answer that breaks off.
func TestRepeatsAreCounted(t *testing.T) {
	var requests atomic.Int64
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch n := requests.Add(1); {
		case r.Method == http.MethodHead && n < 6:
			w.WriteHeader(http.StatusInternalServerError)
		case n <= 2:
			w.WriteHeader(http.StatusInternalServerError)
		case n == 3:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "he")
		default:
			w.Header().Set("Content-Length", "5")
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, "hello")
			}
		}
	}, fastReads)
	m, err := metered.NewMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	shares := meter.New("analytics")
	counted := metered.New(s, m).For(shares.Share("orders"))
	if b, err := counted.GetRange(t.Context(), "k", 0, -1); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := counted.Head(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	got := shares.Share("orders").Counts()
	if got.Calls(meter.Get) != 4 || got[meter.Requests(meter.Get, meter.OK)] != 1 || got.Calls(meter.Head) != 2 || got.Became(meter.Failed) != 4 || requests.Load() != 6 {
		t.Errorf("%d requests reached the server, counted are %v", requests.Load(), got)
	}
	ctx := objstore.CountRepeats(t.Context())
	if _, err := s.GetRange(ctx, "k", 0, -1); err != nil || objstore.Repeats(ctx) != 0 {
		t.Errorf("%v, %d repeats of what went well at once", err, objstore.Repeats(ctx))
	}
}
