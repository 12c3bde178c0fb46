package topic

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestConfigTable holds what the table must be for LookupConfig to find things
// and for DescribeConfigs to tell the truth.
func TestConfigTable(t *testing.T) {
	keys := ConfigKeys()
	if !slices.IsSortedFunc(keys, func(a, b ConfigKey) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatal("the table is not sorted by name")
	}
	for _, k := range keys {
		if found, ok := LookupConfig(k.Name); !ok || found.Name != k.Name {
			t.Errorf("%s is not found", k.Name)
		}
		if k.Doc == "" {
			t.Errorf("%s has no documentation", k.Name)
		}
		if k.check == nil {
			t.Fatalf("%s has no check", k.Name)
		}
		if err := CheckConfig(k.Name, k.Default); err != nil {
			t.Errorf("the default of %s is not allowed: %v", k.Name, err)
		}
		if (k.Effect == Refused) != (k.Reason != "") {
			t.Errorf("%s: exactly the refused keys have a reason", k.Name)
		}
		if k.Effect == Accepted && !strings.Contains(k.Doc, "without effect") {
			t.Errorf("%s has no effect and its documentation does not say so", k.Name)
		}
	}
	keys[0].Name = "changed by a caller"
	if ConfigKeys()[0].Name == "changed by a caller" {
		t.Error("ConfigKeys gives out the table itself")
	}
}

// TestKafkaConfigs keeps the list of Apache Kafka 4's topic configs complete.
func TestKafkaConfigs(t *testing.T) {
	for _, name := range []string{
		"cleanup.policy", "compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level",
		"delete.retention.ms", "file.delete.delay.ms", "flush.messages", "flush.ms", "follower.replication.throttled.replicas",
		"index.interval.bytes", "leader.replication.throttled.replicas", "local.retention.bytes", "local.retention.ms",
		"max.compaction.lag.ms", "max.message.bytes", "message.timestamp.after.max.ms", "message.timestamp.before.max.ms",
		"message.timestamp.type", "min.cleanable.dirty.ratio", "min.compaction.lag.ms", "min.insync.replicas", "preallocate",
		"remote.log.copy.disable", "remote.log.delete.on.disable", "remote.storage.enable", "retention.bytes", "retention.ms",
		"segment.bytes", "segment.index.bytes", "segment.jitter.ms", "segment.ms", "unclean.leader.election.enable",
	} {
		if k, ok := LookupConfig(name); !ok || k.Legacy {
			t.Errorf("%s is a topic config of Kafka 4", name)
		}
	}
}

// TestDefaults: what the data path does without overrides is what clients are told.
func TestDefaults(t *testing.T) {
	all := map[string]string{}
	for _, k := range ConfigKeys() {
		if !k.Legacy {
			all[k.Name] = k.Default
		}
	}
	c, err := ParseConfig(all)
	if err != nil {
		t.Fatal(err)
	}
	if c != DefaultConfig() {
		t.Errorf("the table's defaults give %+v, DefaultConfig is %+v", c, DefaultConfig())
	}
}

func TestParseConfig(t *testing.T) {
	with := func(f func(*Config)) Config {
		c := DefaultConfig()
		f(&c)
		return c
	}
	const ago, ahead, both = "message.timestamp.before.max.ms", "message.timestamp.after.max.ms", "message.timestamp.difference.max.ms"
	for _, tc := range []struct {
		name      string
		overrides map[string]string
		want      Config
		faults    []string // all of them must be in the error; none: no error
	}{
		{"nothing", nil, DefaultConfig(), nil},
		{"retention", map[string]string{"retention.ms": " 1000 ", "retention.bytes": "5"}, with(func(c *Config) { c.RetentionMs, c.RetentionBytes = 1000, 5 }), nil},
		{"for ever", map[string]string{"retention.ms": "-1", "retention.bytes": "-7"}, with(func(c *Config) { c.RetentionMs, c.RetentionBytes = -1, -1 }), nil},
		{"retention below", map[string]string{"retention.ms": "-2"}, Config{}, []string{"retention.ms", "between -1"}},
		{"retention text", map[string]string{"retention.ms": "7d"}, Config{}, []string{"not a whole number"}},
		{"batch size", map[string]string{"max.message.bytes": "0"}, with(func(c *Config) { c.MaxMessageBytes = 0 }), nil},
		{"batch size beyond 32 bits", map[string]string{"max.message.bytes": "2147483648"}, Config{}, []string{"between 0 and 2147483647"}},
		{"beyond 64 bits", map[string]string{"retention.bytes": "9223372036854775808"}, Config{}, []string{"between"}},
		{"append time", map[string]string{"message.timestamp.type": "LogAppendTime"}, with(func(c *Config) { c.TimestampType = LogAppendTime }), nil},
		{"create time", map[string]string{"message.timestamp.type": "CreateTime"}, DefaultConfig(), nil},
		{"case matters", map[string]string{"message.timestamp.type": "logappendtime"}, Config{}, []string{"one of CreateTime, LogAppendTime"}},
		{"bounds", map[string]string{ago: "5", ahead: "6"}, with(func(c *Config) { c.TimestampBeforeMax, c.TimestampAfterMax = 5, 6 }), nil},
		{"older bound", map[string]string{both: "9"}, with(func(c *Config) { c.TimestampBeforeMax, c.TimestampAfterMax = 9, 9 }), nil},
		{"older bound and one newer", map[string]string{both: "9", ahead: "6"}, with(func(c *Config) { c.TimestampBeforeMax, c.TimestampAfterMax = 9, 6 }), nil},
		{"bound below", map[string]string{ago: "-1"}, Config{}, []string{ago}},
		{"codec", map[string]string{"compression.type": "zstd", "compression.zstd.level": "-131072"}, with(func(c *Config) { c.CompressionType = "zstd" }), nil},
		{"codec unknown", map[string]string{"compression.type": "brotli"}, Config{}, []string{"one of", "zstd"}},
		{"level beyond", map[string]string{"compression.lz4.level": "18", "compression.gzip.level": "0", "compression.zstd.level": "23"}, Config{}, []string{"lz4", "gzip", "zstd"}},
		{"delete", map[string]string{"cleanup.policy": "delete"}, DefaultConfig(), nil},
		{"compact", map[string]string{"cleanup.policy": "compact"}, Config{}, []string{"compaction is not served yet"}},
		{"compact and delete", map[string]string{"cleanup.policy": "compact, delete"}, Config{}, []string{"compaction is not served yet"}},
		{"no policy", map[string]string{"cleanup.policy": ""}, Config{}, []string{"retention.ms=-1"}},
		{"tiered", map[string]string{"remote.storage.enable": "true"}, Config{}, []string{"refused", "no local tier"}},
		{"not tiered", map[string]string{"remote.storage.enable": "false", "local.retention.ms": "-2"}, DefaultConfig(), nil},
		{"local retention", map[string]string{"local.retention.bytes": "1"}, Config{}, []string{"refused", "no local tier"}},
		{"disk", map[string]string{"segment.bytes": "1048576", "flush.ms": "0", "index.interval.bytes": "1", "preallocate": "TRUE", "min.insync.replicas": "2"}, DefaultConfig(), nil},
		{"disk nonsense", map[string]string{"min.insync.replicas": "0", "preallocate": "yes"}, Config{}, []string{"min.insync.replicas", "preallocate"}},
		{"ratio", map[string]string{"min.cleanable.dirty.ratio": "1.01"}, Config{}, []string{"between 0 and 1"}},
		{"ratio NaN", map[string]string{"min.cleanable.dirty.ratio": "NaN"}, Config{}, []string{"not a number"}},
		{"lags", map[string]string{"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}, Config{}, []string{"above max.compaction.lag.ms"}},
		{"throttles", map[string]string{"leader.replication.throttled.replicas": "0:1, 1:2", "follower.replication.throttled.replicas": "*"}, DefaultConfig(), nil},
		{"throttle nonsense", map[string]string{"leader.replication.throttled.replicas": "all"}, Config{}, []string{"partition:broker"}},
		{"share", map[string]string{ShareConfig: "team-a"}, DefaultConfig(), nil},
		{"share nonsense", map[string]string{ShareConfig: "../etc"}, Config{}, []string{ShareConfig}},
		{"unknown", map[string]string{"retention.msec": "1"}, Config{}, []string{`unknown topic config "retention.msec"`, `did you mean "retention.ms"`}},
		{"unknown and far", map[string]string{"q": "1"}, Config{}, []string{"unknown"}},
		{"all faults", map[string]string{"nonsense.one": "1", "retention.ms": "x", "cleanup.policy": "compact"}, Config{}, []string{"nonsense.one", "retention.ms", "cleanup.policy"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseConfig(tc.overrides)
			if len(tc.faults) == 0 {
				if err != nil || got != tc.want {
					t.Fatalf("got %+v, %v; want %+v", got, err, tc.want)
				}
				return
			}
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("got %v, want an error that wraps ErrConfig", err)
			}
			for _, f := range tc.faults {
				if !strings.Contains(err.Error(), f) {
					t.Errorf("the error does not say %q: %v", f, err)
				}
			}
		})
	}
}

// FuzzParseConfig: no key and no value makes it panic, and what it takes is within bounds.
func FuzzParseConfig(f *testing.F) {
	for _, k := range ConfigKeys() {
		f.Add(k.Name, k.Default)
		f.Add(k.Name, "-1")
		f.Add(k.Name+"x", "\xff")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := ParseConfig(map[string]string{name: value})
		if err != nil {
			return
		}
		if c.MaxMessageBytes < 0 || c.RetentionMs < -1 || c.RetentionBytes < -1 || c.TimestampBeforeMax < 0 || c.TimestampAfterMax < 0 {
			t.Fatalf("%s=%q is taken as %+v", name, value, c)
		}
		if name == "retention.bytes" && c.RetentionBytes == math.MaxInt64 && !strings.Contains(value, "9223372036854775807") {
			t.Fatalf("%q became the largest number", value)
		}
	})
}

// TestOrderDoesNotMatter: two equal maps give equal errors.
func TestOrderDoesNotMatter(t *testing.T) {
	bad := map[string]string{"a": "1", "b": "2", "retention.ms": "x", "segment.ms": "0", "cleanup.policy": "compact"}
	_, first := ParseConfig(bad)
	for range 20 {
		if _, err := ParseConfig(maps.Clone(bad)); err.Error() != first.Error() {
			t.Fatalf("%v\nand then\n%v", first, err)
		}
	}
}
