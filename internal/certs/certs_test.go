package certs

import (
	"crypto/x509"
	"testing"
)

// TestNamesAreReadAsTheyAreWritten: one spelling a name, and no other is taken.
func TestNamesAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []Name{
		{Kind: Agent, Cluster: "isthmus", Group: "prod", ID: "a1b2"},
		{Kind: Control, Cluster: "my-cluster.1", ID: "1"},
		{Kind: Admin, Cluster: "c_d", ID: "Ada.Lovelace"},
	} {
		got, err := Parse(n.String())
		if err != nil || got != n || n.URI().String() != n.String() {
			t.Errorf("%v: %v, %v, %s", n, got, err, n.URI())
		}
	}
	for _, s := range []string{
		"", "spiffe://", "spiffe://c", "https://c/admin/a", "spiffe://c/admin/", "spiffe://c/admin/a/", "spiffe://c/admin/a/b",
		"spiffe://C/admin/a", "spiffe://c/Admin/a", "spiffe://c/group/g/agent/..", "spiffe://c/group//agent/a", "spiffe://c/group/g/role/a",
		"spiffe://u@c/admin/a", "spiffe://c:1/admin/a", "spiffe://c/admin/a?x", "spiffe://c/admin/a#x", "spiffe://c/admin/%61", "spiffe://c//admin/a",
		"spiffe://c/group/g/agent/a b", "spiffe://c/admin/a\x00",
	} {
		if n, err := Parse(s); err == nil {
			t.Errorf("%q is read as %v", s, n)
		}
	}
	if err := (Name{Kind: "jobs", Cluster: "c", ID: "x"}).Check(); err == nil {
		t.Error("a name of no kind passes")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("spiffe://isthmus/group/prod/agent/a1b2")
	f.Add("spiffe://isthmus/admin/ada")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Parse(s); err == nil && (n.String() != s || n.Check() != nil) {
			t.Fatalf("%q is read as %v", s, n)
		}
	})
}

func TestSerialCarriesTheEpoch(t *testing.T) {
	for _, epoch := range []uint64{0, 1, 77, 1 << 40} {
		n := Serial(epoch, [10]byte{})
		if n.Sign() <= 0 || n.BitLen() > 159 {
			t.Errorf("epoch %d: serial number %v is not one of a certificate", epoch, n)
		}
		if got := Epoch(&x509.Certificate{SerialNumber: n}); got != epoch {
			t.Errorf("epoch %d is read as %d", epoch, got)
		}
	}
}
