package client

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/isthmusdata/isthmus/control/controlpb"
	"github.com/isthmusdata/isthmus/internal/topic"
)

// FuzzPlanAnswer: a location that passes lies inside its object, whatever the control plane has sent.
func FuzzPlanAnswer(f *testing.F) {
	good, err := proto.Marshal(&controlpb.PlanResponse{
		Objects:    []*controlpb.Object{{Share: "s", Nonce: make([]byte, 12), Size: 100}},
		Partitions: []*controlpb.PartitionPlan{{HighWatermark: 9, Extents: []*controlpb.Extent{{Base: 3, Records: 6, Length: 50, Position: 50}}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &controlpb.PlanResponse{}
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		objects, err := objects(m.GetObjects())
		if err != nil {
			return
		}
		for _, p := range m.GetPartitions() {
			found, err := locations(topic.Partition{}, p.GetExtents(), objects)
			if err != nil {
				continue
			}
			for _, l := range found {
				if uint64(l.Position)+uint64(l.Length) > uint64(l.Size) || l.Base < 0 {
					t.Fatalf("%+v passes", l)
				}
			}
		}
	})
}

// FuzzTopicAnswer: a topic that passes has an id and a config that can be read.
func FuzzTopicAnswer(f *testing.F) {
	good, err := proto.Marshal(&controlpb.Topic{Name: "a", Id: make([]byte, 16), Partitions: 1, Config: map[string]string{"retention.ms": "1000"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := &controlpb.Topic{}
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		found, err := topicFound(m)
		if err == nil && found.Code == 0 && len(m.GetId()) != 16 {
			t.Fatalf("%+v passes", found)
		}
	})
}
