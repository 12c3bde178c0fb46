package standin

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/isthmusdata/isthmus/iam/policy"
)

type account struct{ id string }

// principal is a user or a role. Its unique id is drawn anew when a name is used again.
type principal struct {
	account    string
	kind       string // user or role
	name       string
	arn        string
	id         string // AIDA… or AROA…
	trust      policy.Document
	permission []policy.Document
	longest    time.Duration // of a session of a role
	gone       bool
}

// credential is an access key: a user's, or that of a session of a role.
type credential struct {
	key, secret string
	who         *principal

	// Of a session only.
	token    string
	session  string // name
	policy   *policy.Document
	tags     map[string]string
	source   string // source identity
	issued   time.Time
	expires  time.Time
	provider string // of the web identity that it was given for
}

// Names that AWS would not take are the caller's mistake.
var (
	accountID  = regexp.MustCompile(`^[0-9]{12}$`)
	iamName    = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

func must(pattern *regexp.Regexp, what, s string) {
	if !pattern.MatchString(s) {
		panic(fmt.Sprintf("standin: %s %q is none", what, s))
	}
}

// Account makes an account by its 12 digits, if it is not there.
func (w *World) Account(id string) {
	must(accountID, "account", id)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account(id)
}

func (w *World) account(id string) {
	if w.accounts[id] == nil {
		w.accounts[id] = &account{id: id}
	}
}

// User makes a user that may do nothing yet, or gives one that is there another access key.
func (w *World) User(account, name string) (accessKey, secret string) {
	must(accountID, "account", account)
	must(iamName, "user", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account(account)
	arn := w.arn("iam", account, "user/"+name)
	p := w.principals[arn]
	if p == nil {
		p = &principal{account: account, kind: "user", name: name, arn: arn, id: uniqueID("AIDA")}
		w.principals[arn] = p
	}
	c := &credential{key: uniqueID("AKIA"), secret: random(30), who: p}
	w.credentials[c.key] = c
	return c.key, c.secret
}

// UserARN is the ARN of a user.
func (w *World) UserARN(account, name string) string { return w.arn("iam", account, "user/"+name) }

// RoleARN is the ARN of a role.
func (w *World) RoleARN(account, name string) string { return w.arn("iam", account, "role/"+name) }

// Role makes a role, or another one in the place of one of that name: sessions of the former end, and its unique id
// is not used again.
func (w *World) Role(account, name string, trust, permission policy.Document) (arn string) {
	must(accountID, "account", account)
	must(iamName, "role", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.account(account)
	arn = w.arn("iam", account, "role/"+name)
	w.remove(arn)
	w.principals[arn] = &principal{
		account: account, kind: "role", name: name, arn: arn, id: uniqueID("AROA"),
		trust: trust, permission: []policy.Document{permission}, longest: time.Hour,
	}
	return arn
}

// SetPermission replaces what a user or role may do, also in sessions that live. It reports whether there is one.
func (w *World) SetPermission(arn string, docs ...policy.Document) bool {
	return w.change(arn, func(p *principal) { p.permission = slices.Clone(docs) })
}

// SetTrust replaces who may assume a role; sessions that live stay.
func (w *World) SetTrust(arn string, trust policy.Document) bool {
	return w.change(arn, func(p *principal) { p.trust = trust })
}

// SetLongest bounds sessions of a role, 1 h to 12 h; it begins with 1 h.
func (w *World) SetLongest(arn string, longest time.Duration) bool {
	return w.change(arn, func(p *principal) { p.longest = longest })
}

// UniqueID is AIDA… of a user or AROA… of a role, or empty.
func (w *World) UniqueID(arn string) (id string) {
	w.change(arn, func(p *principal) { id = p.id })
	return id
}

func (w *World) change(arn string, f func(*principal)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.principals[arn]
	if p == nil {
		return false
	}
	f(p)
	return true
}

// Delete removes a user or role; its keys and sessions end at once.
func (w *World) Delete(arn string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.remove(arn)
}

func (w *World) remove(arn string) {
	p := w.principals[arn]
	if p == nil {
		return
	}
	p.gone = true
	delete(w.principals, arn)
	for key, c := range w.credentials {
		if c.who == p {
			delete(w.credentials, key)
		}
	}
}

// mint makes the credentials of a session. Those that have expired stay as long as there is room, so that
// they are told to have.
func (w *World) mint(c credential) (*credential, *fault) {
	if len(w.credentials) >= maxCredentials {
		now := w.opts.Now()
		for key, old := range w.credentials {
			if !old.expires.IsZero() && !now.Before(old.expires) {
				delete(w.credentials, key)
			}
		}
	}
	if len(w.credentials) >= maxCredentials {
		return nil, faultf(http.StatusBadRequest, "Throttling", "Rate exceeded")
	}
	c.key, c.secret, c.token = uniqueID("ASIA"), random(30), random(96)
	w.credentials[c.key] = &c
	return &c, nil
}

// arn is who a request is from, as GetCallerIdentity tells it.
func (c *credential) arn() string {
	if c.who.kind == "user" {
		return c.who.arn
	}
	rest := strings.TrimSuffix(c.who.arn, ":role/"+c.who.name)
	return strings.Replace(rest, ":iam:", ":sts:", 1) + ":assumed-role/" + c.who.name + "/" + c.session
}

func (c *credential) userID() string {
	if c.who.kind == "user" {
		return c.who.id
	}
	return c.who.id + ":" + c.session
}

// random is a secret of n bytes, as text without characters that need to be escaped anywhere.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// uniqueID is 20 characters: what it is the id of, and 16 that were never used before.
func uniqueID(kind string) string {
	b := make([]byte, 10)
	_, _ = rand.Read(b) // never fails
	return kind + base32.StdEncoding.EncodeToString(b)
}

func requestID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return strings.ToUpper(hex.EncodeToString(b))
}
