package wire

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// footprint is the memory that a decoded request takes, its frame included, to within a small
// factor: what is charged between decoding and the answer.
func footprint(r *Request) int64 {
	if p, ok := r.Body.(*kmsg.ProduceRequest); ok {
		entries := 1 + len(p.Topics)
		for i := range p.Topics {
			entries += len(p.Topics[i].Partitions)
		}
		return int64(r.Size) + int64(entries)*produceEntryCost
	}
	v := reflect.ValueOf(r.Body).Elem()
	return int64(r.Size) + int64(v.Type().Size()) + behind(v)
}

// behind is the memory that v refers to, beyond itself.
func behind(v reflect.Value) (n int64) {
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return int64(v.Type().Elem().Size()) + behind(v.Elem())
	case reflect.Map:
		return int64(v.Len()) * 64
	case reflect.Slice:
		elem := v.Type().Elem()
		if elem.Kind() == reflect.Uint8 {
			return 0 // a part of the frame
		}
		n = int64(v.Cap()) * int64(elem.Size())
		switch elem.Kind() {
		case reflect.String, reflect.Struct, reflect.Slice, reflect.Pointer, reflect.Map:
			for i := range v.Len() {
				n += behind(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			n += behind(v.Field(i))
		}
	}
	return n
}
