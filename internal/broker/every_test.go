package broker

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/isthmusdata/isthmus/internal/topic"
)

// fill puts one element into every array and a text into every string of a request.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "TransactionalID" {
				fill(v.Field(i))
			}
		}
	}
}

// failures lists the error codes other than 0 anywhere in a response.
func failures(v reflect.Value) (codes []int16) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			codes = append(codes, failures(v.Index(i))...)
		}
	case reflect.Struct:
		if f := v.FieldByName("ErrorCode"); f.IsValid() && f.Int() != 0 {
			codes = append(codes, int16(f.Int()))
		}
		for i := range v.NumField() {
			codes = append(codes, failures(v.Field(i))...)
		}
	}
	return codes
}

// local are requests that need no control plane.
var local = map[int16]bool{int16(kmsg.FindCoordinator): true, int16(kmsg.DescribeCluster): true}

// TestEveryVersionAnswers sends every version of every request, empty and filled, with the control
// plane there, away, silent, and denying the agent: each has an answer that its client can decode, in time.
func TestEveryVersionAnswers(t *testing.T) {
	for _, state := range []string{"there", "away", "silent", "denied"} {
		t.Run(state, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				control := newFakeControl()
				control.away, control.denied = state == "away", state == "denied"
				if state == "silent" {
					control.hold = func(ctx context.Context, _ topic.Query) { <-ctx.Done() }
					control.serve = func(ctx context.Context, _ Call, _ kmsg.Request) (kmsg.Response, error) {
						<-ctx.Done()
						return nil, ctx.Err()
					}
				}
				a := newAgent(t, Default(), control, alone(), nil)
				for _, api := range a.apis {
					for version := api.Min; version <= api.Max; version++ {
						for _, filled := range []bool{false, true} {
							everyVersion(t, a, state, api.Key, version, filled)
						}
					}
				}
			})
		})
	}
}

func everyVersion(t *testing.T, a *agent, state string, key, version int16, filled bool) {
	t.Helper()
	req := kmsg.RequestForKey(key)
	if filled {
		fill(reflect.ValueOf(req).Elem())
	}
	name := fmt.Sprintf("%s version %d filled=%v, control plane %s", kmsg.NameForKey(key), version, filled, state)
	start := time.Now()
	resp, err := a.try(req, version)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("%s: answered after %s", name, took)
	}
	codes := failures(reflect.ValueOf(resp).Elem())
	if state != "there" && filled && !local[key] && len(codes) == 0 {
		t.Errorf("%s: answered without an error: %+v", name, resp)
	}
	for _, code := range codes {
		if state == "denied" {
			if code < 29 || code > 31 {
				t.Errorf("%s: error %d does not say that it is denied", name, code)
			}
			continue
		}
		if state != "there" && !local[key] && code != 5 && code != 7 && code != 14 && code != 15 && code != 35 {
			t.Errorf("%s: error %d is none that makes a client try again", name, code)
		}
	}
}
