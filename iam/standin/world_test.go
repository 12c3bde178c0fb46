package standin_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/isthmusdata/isthmus/iam/policy"
	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/objstore"
	"github.com/isthmusdata/isthmus/internal/objstore/s3store"
	"github.com/isthmusdata/isthmus/internal/objstore/storetest"
)

const (
	data      = "111111111111" // owns the bucket
	prod      = "222222222222"
	analytics = "333333333333"
)

// clock is moved by tests.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Second)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// aws is a World that is served, and what tests call it with.
type world struct {
	*standin.World
	url   string
	clock *clock

	mu     sync.Mutex
	events []standin.Event
}

func newWorld(t *testing.T, change ...func(*standin.Options)) *world {
	t.Helper()
	w := &world{clock: newClock()}
	o := standin.Options{Now: w.clock.now, Observe: func(e standin.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}}
	for _, f := range change {
		f(&o)
	}
	w.World = standin.New(o)
	server := httptest.NewServer(w.World)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.Bucket(data, "bucket")
	return w
}

func (w *world) config(c aws.Credentials) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(w.url), RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: c},
	}
}

func (w *world) s3(c aws.Credentials) *s3.Client {
	return s3.NewFromConfig(w.config(c), func(o *s3.Options) {
		o.UsePathStyle = true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
}

func (w *world) sts(c aws.Credentials) *sts.Client { return sts.NewFromConfig(w.config(c)) }

// user makes a user with the permission.
func (w *world) user(account, name string, docs ...policy.Document) aws.Credentials {
	key, secret := w.User(account, name)
	w.SetPermission(w.UserARN(account, name), docs...)
	return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store {
		w := newWorld(t)
		c := w.user(data, "all", document(t, `{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:DeleteObject","s3:AbortMultipartUpload"],"Resource":"arn:aws:s3:::bucket/*"}`,
			`{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":"arn:aws:s3:::bucket"}`))
		config := s3store.Default()
		config.Bucket, config.Region, config.Endpoint, config.PathStyle, config.BucketOwner = "bucket", "us-east-1", w.url, true, data
		config.Credentials = credentials.StaticCredentialsProvider{Value: c}
		store, err := s3store.New(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		return store
	})
}

// document makes a policy of statements in JSON.
func document(t *testing.T, statements ...string) policy.Document {
	t.Helper()
	text := `{"Version":"2012-10-17","Statement":[`
	for i, s := range statements {
		if i > 0 {
			text += ","
		}
		text += s
	}
	doc, err := policy.Parse([]byte(text + "]}"))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
