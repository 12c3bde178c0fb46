package cow

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func viewed(v *View[int]) []int {
	var out []int
	for i := range v.Len() {
		out = append(out, *v.At(uint32(i)))
	}
	return out
}

// TestSlabViewNeverChanges: whatever is appended and written, every view keeps its moment.
func TestSlabViewNeverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Slab[int]
		var model []int
		var views []View[int]
		var want [][]int
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				for range rapid.IntRange(1, 300).Draw(t, "n") {
					s.Append(len(model))
					model = append(model, len(model))
				}
			},
			"write": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				model[i] = rapid.Int().Draw(t, "v")
				*s.Mut(uint32(i)) = model[i]
			},
			"view": func(t *rapid.T) {
				views, want = append(views, s.View()), append(want, slices.Clone(model))
			},
			"": func(t *rapid.T) {
				for i := range views {
					if got := viewed(&views[i]); !slices.Equal(got, want[i]) {
						t.Fatalf("view %d changed", i)
					}
				}
				for i, v := range model {
					if *s.At(uint32(i)) != v {
						t.Fatalf("value %d: got %d, want %d", i, *s.At(uint32(i)), v)
					}
				}
			},
		})
	})
}

// TestPoolKeepsFreedBlocksForViews: a block freed after a view was taken is not handed out again
// until the view is released.
func TestPoolKeepsFreedBlocksForViews(t *testing.T) {
	var p Pool[int]
	a := p.Alloc()
	p.Block(a)[0] = 7
	v := p.View()
	p.Free(a)
	if b := p.Alloc(); b == a {
		t.Fatal("block handed out while a view could read it")
	}
	if v.Block(a)[0] != 7 {
		t.Fatal("view changed")
	}
	v.Release()
	v.Release()
	if b := p.Alloc(); b != a {
		t.Fatalf("block %d not reused after the release, got %d", a, b)
	}
}

type item struct {
	links Links
	value int
}

func (i *item) Chain() *Links { return &i.links }

// TestListKeepsOrder compares a List with a slice, and its views with their moments.
func TestListKeepsOrder(t *testing.T) {
	order := func(v ListView[item, *item]) []int {
		var out []int
		v.Each(func(i *item) { out = append(out, i.value) })
		return out
	}
	rapid.Check(t, func(t *rapid.T) {
		l := NewList[item]()
		var model []int
		place := map[int]uint32{}
		next := 0
		pick := func(t *rapid.T) int { return rapid.SampledFrom(model).Draw(t, "value") }
		var kept []ListView[item, *item]
		var want [][]int
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				place[next] = l.Push(item{value: next})
				model = append(model, next)
				next++
			},
			"touch": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				v := pick(t)
				l.Touch(place[v])
				model = append(slices.DeleteFunc(model, func(x int) bool { return x == v }), v)
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				v := pick(t)
				l.Remove(place[v])
				delete(place, v)
				model = slices.DeleteFunc(model, func(x int) bool { return x == v })
			},
			"view": func(t *rapid.T) { kept, want = append(kept, l.View()), append(want, slices.Clone(model)) },
			"": func(t *rapid.T) {
				if got := order(l.View()); !slices.Equal(got, model) || l.Len() != len(model) {
					t.Fatalf("got %v, want %v", got, model)
				}
				for i := range kept {
					if got := order(kept[i]); !slices.Equal(got, want[i]) {
						t.Fatalf("view %d: got %v, want %v", i, got, want[i])
					}
				}
			},
		})
	})
}

// TestViewsWhileWriting is for the race detector: a writer goes on while views are read.
func TestViewsWhileWriting(t *testing.T) {
	var s Slab[int]
	var p Pool[int]
	l := NewList[item]()
	var wg sync.WaitGroup
	for round := range 20 {
		for range 100 {
			s.Append(round)
			l.Push(item{value: round})
		}
		id, written := p.Alloc(), 10
		for i := range written {
			p.Block(id)[i] = round
		}
		sv, pv, lv := s.View(), p.View(), l.View()
		wg.Go(func() {
			defer pv.Release()
			for i := range sv.Len() {
				if *sv.At(uint32(i)) > round {
					t.Errorf("slab view of round %d sees a later round", round)
				}
			}
			for _, v := range pv.Block(id)[:written] {
				if v != round {
					t.Errorf("pool view of round %d sees %d", round, v)
				}
			}
			lv.Each(func(i *item) {
				if i.value > round {
					t.Errorf("list view of round %d sees %d", round, i.value)
				}
			})
		})
		for i := range s.Len() {
			*s.Mut(uint32(i)) = round
		}
		for i := written; i < BlockLen; i++ {
			p.Block(id)[i] = -1
		}
		l.Touch(l.First())
		l.Remove(l.First())
		if round%3 == 0 {
			p.Free(id)
		}
	}
	wg.Wait()
}
