package produce

import "github.com/isthmusdata/isthmus/internal/meter"

// count counts the bytes of a request for each share that it touches, and the request once for each.
func (d *Deps) count(batches []*Batch) {
	var tally meter.Request
	for _, b := range batches {
		tally.Add(b.Share, len(b.Bytes))
	}
	tally.Tell(d.Meter, meter.ProduceRequests, meter.ProduceBytes)
}
