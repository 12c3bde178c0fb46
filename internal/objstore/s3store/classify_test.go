package s3store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/isthmusdata/isthmus/internal/objstore"
)

func mustContain(t *testing.T, text, word string) {
	t.Helper()
	if !strings.Contains(text, word) {
		t.Errorf("%q does not say %q", text, word)
	}
}

func mustNotContain(t *testing.T, text, word string) {
	t.Helper()
	if strings.Contains(text, word) {
		t.Errorf("%q says %q", text, word)
	}
}

// mustSay checks an error's class, that it has no other, and that it names what a person must know.
func mustSay(t *testing.T, err, class error, words ...string) {
	t.Helper()
	if !errors.Is(err, class) || objstore.Class(err) != objstore.Class(class) {
		t.Fatalf("got error %v, want %v alone", err, class)
	}
	for _, w := range words {
		mustContain(t, err.Error(), w)
	}
}

func put(ctx context.Context, s *Store) error {
	body := [][]byte{[]byte("he"), []byte("llo")}
	return s.PutNew(ctx, "k", body, objstore.Sum(body))
}

func errorBody(code string) string {
	if code == "" {
		return ""
	}
	return fmt.Sprintf(`<?xml version="1.0"?><Error><Code>%s</Code><Message>because</Message></Error>`, code)
}

// TestAnswersAreClassified: status and code of an answer, and what a put and a read make of it.
func TestAnswersAreClassified(t *testing.T) {
	cases := []struct {
		status    int
		code      string
		put, read error
	}{
		{412, "PreconditionFailed", objstore.ErrExists, objstore.ErrExists},
		{409, "ConditionalRequestConflict", objstore.ErrUnavailable, objstore.ErrUnavailable},
		{409, "OperationAborted", objstore.ErrUnavailable, objstore.ErrUnavailable},
		{404, "NoSuchBucket", objstore.ErrNoBucket, objstore.ErrNoBucket},
		{404, "NoSuchKey", objstore.ErrNotFound, objstore.ErrNotFound},
		{404, "", objstore.ErrNoBucket, objstore.ErrNotFound},
		{403, "AccessDenied", objstore.ErrDenied, objstore.ErrDenied},
		{403, "SignatureDoesNotMatch", objstore.ErrDenied, objstore.ErrDenied},
		{403, "InvalidAccessKeyId", objstore.ErrDenied, objstore.ErrDenied},
		{403, "RequestTimeTooSkewed", objstore.ErrDenied, objstore.ErrDenied},
		{400, "ExpiredToken", objstore.ErrDenied, objstore.ErrDenied},
		{401, "", objstore.ErrDenied, objstore.ErrDenied},
		{503, "SlowDown", objstore.ErrThrottled, objstore.ErrThrottled},
		{503, "ServiceUnavailable", objstore.ErrThrottled, objstore.ErrThrottled},
		{503, "", objstore.ErrThrottled, objstore.ErrThrottled},
		{429, "TooManyRequests", objstore.ErrThrottled, objstore.ErrThrottled},
		{500, "InternalError", objstore.ErrUnknownOutcome, objstore.ErrUnavailable},
		{502, "", objstore.ErrUnknownOutcome, objstore.ErrUnavailable},
		{504, "", objstore.ErrUnknownOutcome, objstore.ErrUnavailable},
		{416, "InvalidRange", objstore.ErrInvalid, objstore.ErrInvalid},
		{400, "BadDigest", objstore.ErrInvalid, objstore.ErrInvalid},
		{400, "XAmzContentSHA256Mismatch", objstore.ErrInvalid, objstore.ErrInvalid},
		{400, "AuthorizationHeaderMalformed", objstore.ErrInvalid, objstore.ErrInvalid},
		{400, "RequestTimeout", objstore.ErrUnavailable, objstore.ErrUnavailable},
		{301, "PermanentRedirect", objstore.ErrInvalid, objstore.ErrInvalid},
		{307, "TemporaryRedirect", objstore.ErrUnavailable, objstore.ErrUnavailable},
		{501, "NotImplemented", objstore.ErrInvalid, objstore.ErrInvalid},
		{405, "MethodNotAllowed", objstore.ErrInvalid, objstore.ErrInvalid},
		{418, "", objstore.ErrInvalid, objstore.ErrInvalid},
	}
	for _, c := range cases {
		t.Run(strconv.Itoa(c.status)+c.code, func(t *testing.T) {
			var puts atomic.Int32
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodPut {
					puts.Add(1)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, errorBody(c.code))
			}, fastReads)
			mustSay(t, put(t.Context(), s), c.put, "put k", strconv.Itoa(c.status), c.code)
			if puts.Load() != 1 {
				t.Errorf("a put made %d requests", puts.Load())
			}
			_, err := s.GetRange(t.Context(), "k", 0, 5)
			mustSay(t, err, c.read, "get k", c.code)
		})
	}
}

// fastReads keeps the SDK from waiting between attempts at a read.
func fastReads(c *Config) { c.retryWait = time.Microsecond }

// TestErrorsSayWhatToTry: the answers that a person can do something about.
func TestErrorsSayWhatToTry(t *testing.T) {
	for code, words := range map[string][]string{
		"NoSuchBucket":                 {"create the bucket"},
		"AccessDenied":                 {"policy", "because"},
		"InvalidAccessKeyId":           {"AWS_ACCESS_KEY_ID"},
		"RequestTimeTooSkewed":         {"clock"},
		"AuthorizationHeaderMalformed": {"region="},
		"NotImplemented":               {"conditional writes"},
	} {
		s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, errorBody(code))
		})
		err := put(t.Context(), s)
		for _, word := range append(words, "try: ", code) {
			mustContain(t, fmt.Sprint(err), word)
		}
	}
}

// hijack answers with raw bytes and closes the connection.
func hijack(t *testing.T, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok && answer == "" {
			_ = tcp.SetLinger(0) // a reset
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

// TestNoAnswerIsUnknown: a put that was sent and not answered may have been carried out.
func TestNoAnswerIsUnknown(t *testing.T) {
	for name, answer := range map[string]string{
		"reset":        "",
		"half a line":  "HTTP/1.1 20",
		"half headers": "HTTP/1.1 200 OK\r\nContent-Le",
		"garbage":      "\x16\x03\x01\x02\x00",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, hijack(t, answer), fastReads)
			mustSay(t, put(t.Context(), s), objstore.ErrUnknownOutcome, "put k")
			_, err := s.GetRange(t.Context(), "k", 0, 5)
			mustSay(t, err, objstore.ErrUnavailable, "get k")
			mustSay(t, s.Delete(t.Context(), "k"), objstore.ErrUnknownOutcome, "delete k")
		})
	}
}

// TestResetInsideTheBody: the server stops reading a large body half way.
func TestResetInsideTheBody(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	body := [][]byte{make([]byte, 32<<20)}
	mustSay(t, s.PutNew(t.Context(), "k", body, objstore.Sum(body)), objstore.ErrUnknownOutcome)
}

// TestDialErrorsAreUnavailable: nothing was sent, so nothing happened.
func TestDialErrorsAreUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c := configFor("http://" + address)
	fastReads(&c)
	s := newStore(t, c)
	mustSay(t, put(t.Context(), s), objstore.ErrUnavailable, address, "try: look at the endpoint")
	_, err = s.GetRange(t.Context(), "k", 0, 5)
	mustSay(t, err, objstore.ErrUnavailable, "refused")
	_, err = s.Clock(t.Context())
	mustSay(t, err, objstore.ErrUnavailable)
}

// TestUntrustedServer: the certificate is not the one we trust, so nothing was sent.
func TestUntrustedServer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	s := newStore(t, configFor(server.URL))
	mustSay(t, put(t.Context(), s), objstore.ErrUnavailable, "certificate", "try:", "ca=")
}

// TestHang: a server that never answers ends with our timeout, and with the caller's.
func TestHang(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	defer close(release) // before the server is closed, which waits for its handlers
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-release
	})
	for name, request := range map[string]func(context.Context) error{
		"put": func(ctx context.Context) error { return put(ctx, s) },
		"get": func(ctx context.Context) error { _, err := s.GetRange(ctx, "k", 0, 5); return err },
	} {
		why, done := errors.New("tired of waiting"), make(chan error, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { done <- request(ctx) }()
		<-arrived
		cancel(why)
		err := <-done
		if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || errors.Is(err, objstore.ErrUnknownOutcome) != (name == "put") {
			t.Errorf("%s: got %v", name, err)
		}

		ours := make(chan context.CancelCauseFunc, 1)
		s.bound = func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			ours <- cancel
			return ctx, func() { cancel(nil) }
		}
		go func() { done <- request(t.Context()) }()
		<-arrived
		(<-ours)(errTimeout)
		mustSay(t, <-done, map[string]error{"put": objstore.ErrUnknownOutcome, "get": objstore.ErrUnavailable}[name], "no answer in time")
	}
}

// TestShortBodyIsNoSuccess: an answer that breaks off is read again, and then an error.
func TestShortBodyIsNoSuccess(t *testing.T) {
	header := "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/5\r\n\r\n"
	for _, body := range []string{"", "h", "hell"} {
		s := serve(t, false, hijack(t, header+body))
		b, err := s.GetRange(t.Context(), "k", 0, 5)
		mustSay(t, err, objstore.ErrUnavailable, "broke off after "+strconv.Itoa(len(body))+" of 5 bytes")
		if b != nil {
			t.Errorf("%d bytes beside the error", len(b))
		}
	}
	var requests atomic.Int32
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) < bodyAttempts {
			hijack(t, header+"he")(w, r)
			return
		}
		w.Header().Set("Content-Range", "bytes 0-4/5")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "hello")
	})
	if b, err := s.GetRange(t.Context(), "k", 0, 5); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestRangeOfAnotherAnswer: what was not asked for is not taken.
func TestRangeOfAnotherAnswer(t *testing.T) {
	for name, c := range map[string]struct{ contentRange, body string }{
		"ignored":      {"", "0123456789"},
		"another":      {"bytes 1-5/10", "12345"},
		"shorter":      {"bytes 0-3/10", "0123"},
		"longer":       {"bytes 0-5/10", "012345"},
		"past the end": {"bytes 0-2/3", "012"},
		"unknown size": {"bytes 0-4/*", "01234"},
		"nonsense":     {"pages 1-2", "01234"},
		"huge":         {"bytes 0-99999999999999999999/5", "01234"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				if c.contentRange != "" {
					w.Header().Set("Content-Range", c.contentRange)
					w.WriteHeader(http.StatusPartialContent)
				}
				_, _ = io.WriteString(w, c.body)
			})
			_, err := s.GetRange(t.Context(), "k", 0, 5)
			mustSay(t, err, objstore.ErrInvalid, "get k")
		})
	}
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(objstore.MaxWhole+1))
		w.WriteHeader(http.StatusOK)
	})
	_, err := s.GetRange(t.Context(), "k", 0, -1)
	mustSay(t, err, objstore.ErrInvalid, "more than")
}

// TestReadsAreTriedAgain: the SDK's retries are on for reads.
func TestReadsAreTriedAgain(t *testing.T) {
	var requests atomic.Int32
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
	}, fastReads)
	if b, err := s.GetRange(t.Context(), "k", 0, -1); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestThrottledReadsAreTold: a read that is one too many is sent once. Who asked decides when to ask again.
func TestThrottledReadsAreTold(t *testing.T) {
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests} {
		var requests atomic.Int32
		s := serve(t, false, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.WriteHeader(status)
		}, fastReads)
		if _, err := s.GetRange(t.Context(), "k", 0, -1); !errors.Is(err, objstore.ErrThrottled) || requests.Load() != 1 {
			t.Errorf("status %d: %v after %d requests", status, err, requests.Load())
		}
	}
}

func TestCredentialsThatCannotBeHad(t *testing.T) {
	s := serve(t, false, func(http.ResponseWriter, *http.Request) { t.Error("a request without credentials") }, fastReads, func(c *Config) {
		c.Credentials = credentialsFrom(func() (aws.Credentials, error) { return aws.Credentials{}, errors.New("no role") })
	})
	mustSay(t, put(t.Context(), s), objstore.ErrDenied, "no role", "try: set AWS_ACCESS_KEY_ID")
	away := serve(t, false, func(http.ResponseWriter, *http.Request) { t.Error("a request without credentials") }, fastReads, func(c *Config) {
		c.Credentials = credentialsFrom(func() (aws.Credentials, error) {
			return aws.Credentials{}, &net.OpError{Op: "dial", Err: errors.New("sts away")}
		})
	})
	mustSay(t, put(t.Context(), away), objstore.ErrUnavailable, "sts away")
}

// TestClockOfADeniedAnswer: also an answer that says no has a date.
func TestClockOfADeniedAnswer(t *testing.T) {
	date := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	})
	at, err := s.Clock(t.Context())
	if err != nil || !at.Equal(date) {
		t.Errorf("got %v, %v; want %v", at, err, date)
	}
}

// TestCompleteWithAnErrorInside: the protocol answers 200 before it knows how a completion ends.
func TestCompleteWithAnErrorInside(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPut:
			w.Header().Set("ETag", `"e"`)
		default:
			_, _ = io.WriteString(w, errorBody("InternalError"))
		}
	}, fastReads)
	u, err := s.Multipart(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Part(t.Context(), [][]byte{[]byte("x")}); err != nil {
		t.Fatal(err)
	}
	mustSay(t, u.Complete(t.Context()), objstore.ErrUnknownOutcome, "InternalError")
}
