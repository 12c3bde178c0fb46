package standin_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/isthmusdata/isthmus/iam/standin"
)

func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func mustCode(t *testing.T, err error, code string) {
	t.Helper()
	if got := codeOf(err); got != code {
		t.Errorf("got %q (%v), want %q", got, err, code)
	}
}

// send signs a request by hand, lets change tamper with it, and returns status and body.
func (w *world) send(t *testing.T, c aws.Credentials, service string, r *http.Request, body string, at time.Time, change func(*http.Request)) (int, string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	payload := hex.EncodeToString(sum[:])
	if service == "s3" {
		r.Header.Set("X-Amz-Content-Sha256", payload)
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" })
	if err := signer.SignHTTP(t.Context(), c, r, payload, service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func (w *world) request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const mayAll = `{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]}`

// TestSignatures: what was not signed so is not carried out.
func TestSignatures(t *testing.T) {
	w := newWorld(t)
	c := w.user(data, "u", document(t, mayAll))
	now := w.clock.now()
	put := func(key string) *http.Request { return w.request(t, http.MethodPut, "/bucket/"+key, "body") }
	if status, body := w.send(t, c, "s3", put("good%20key"), "body", now, nil); status != http.StatusOK {
		t.Fatalf("a good request: %d %s", status, body)
	}
	wrong, unknown, withToken := c, c, c
	wrong.SecretAccessKey, unknown.AccessKeyID, withToken.SessionToken = "wrong", "AKIAUNKNOWN", "token"
	for _, a := range []struct {
		name   string
		c      aws.Credentials
		at     time.Time
		change func(*http.Request)
		status int
		code   string
	}{
		{"wrong secret", wrong, now, nil, 403, "SignatureDoesNotMatch"},
		{"unknown key", unknown, now, nil, 403, "InvalidAccessKeyId"},
		{"token of nobody", withToken, now, nil, 400, "InvalidToken"},
		{"unsigned", c, now, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "AccessDenied"},
		{"another path", c, now, func(r *http.Request) { r.URL.Path = "/bucket/c" }, 403, "SignatureDoesNotMatch"},
		{"another method", c, now, func(r *http.Request) { r.Method = http.MethodDelete }, 403, "SignatureDoesNotMatch"},
		{"another query", c, now, func(r *http.Request) { r.URL.RawQuery = "acl=" }, 403, "SignatureDoesNotMatch"},
		{"another host", c, now, func(r *http.Request) { r.Host = "elsewhere" }, 403, "SignatureDoesNotMatch"},
		{"another body", c, now, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("BODY")) }, 400, "XAmzContentSHA256Mismatch"},
		{"a header of AWS's that is not signed", c, now, func(r *http.Request) { r.Header.Set("X-Amz-Acl", "public-read") }, 403, "AccessDenied"},
		{"16 minutes old", c, now.Add(-16 * time.Minute), nil, 403, "RequestTimeTooSkewed"},
		{"from in 16 minutes", c, now.Add(16 * time.Minute), nil, 403, "RequestTimeTooSkewed"},
		{"two authorizations", c, now, func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, 400, "AuthorizationHeaderMalformed"},
		{"chunks", c, now, func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		}, 501, "NotImplemented"},
	} {
		t.Run(a.name, func(t *testing.T) {
			status, body := w.send(t, a.c, "s3", put("b"), "body", a.at, a.change)
			if status != a.status || !strings.Contains(body, "<Code>"+a.code+"</Code>") {
				t.Errorf("%d %s, want %d %s", status, body, a.status, a.code)
			}
			if _, there := w.Object("bucket", "b"); there {
				t.Error("it was stored")
			}
		})
	}
	if status, body := w.send(t, c, "sts", put("b"), "body", now, nil); status != 400 || !strings.Contains(body, "AuthorizationHeaderMalformed") {
		t.Errorf("signed for another service: %d %s", status, body)
	}
}

func TestPresigned(t *testing.T) {
	w := newWorld(t)
	c := w.user(data, "u", document(t, mayAll))
	w.PutObject("bucket", "k", []byte("body"))
	presign := s3.NewPresignClient(w.s3(c))
	in := &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k")}
	p, err := presign.PresignGetObject(t.Context(), in, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	get := func(url string) int {
		t.Helper()
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	if status := get(p.URL); status != http.StatusOK {
		t.Errorf("presigned: %d", status)
	}
	if status := get(strings.Replace(p.URL, "Expires=60", "Expires=600", 1)); status != http.StatusForbidden {
		t.Errorf("for longer than was signed: %d", status)
	}
	w.clock.move(2 * time.Minute)
	if status := get(p.URL); status != http.StatusForbidden {
		t.Errorf("expired: %d", status)
	}
}

// TestProduceRole plays what somebody with the role of a producer may try.
func TestProduceRole(t *testing.T) {
	w := newWorld(t)
	c := w.s3(w.user(data, "produce", document(t, `{"Effect":"Allow","Action":["s3:PutObject"],"Resource":["arn:aws:s3:::bucket/c/data/s/g/*"],"Condition":{"Null":{"s3:if-none-match":"false"}}}`)))
	bucket, mine := aws.String("bucket"), aws.String("c/data/s/g/k")
	ctx := t.Context()
	put := func(key string, condition *string) error {
		_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: strings.NewReader("x"), IfNoneMatch: condition})
		return err
	}
	if err := put("c/data/s/g/k", aws.String("*")); err != nil {
		t.Fatal(err)
	}
	mustCode(t, put("c/data/s/g/k", aws.String("*")), "PreconditionFailed")
	mustCode(t, put("c/data/s/g/k", nil), "AccessDenied")
	mustCode(t, put("c/data/s/other/k", aws.String("*")), "AccessDenied")
	mustCode(t, put("c2/data/s/g/k", aws.String("*")), "AccessDenied")
	_, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: mine})
	mustCode(t, err, "AccessDenied")
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: mine})
	mustCode(t, err, "Forbidden")
	_, err = c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
	mustCode(t, err, "AccessDenied")
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: mine})
	mustCode(t, err, "AccessDenied")
	out, err := c.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: mine}}}})
	if err != nil || len(out.Deleted) != 0 || len(out.Errors) != 1 || aws.ToString(out.Errors[0].Code) != "AccessDenied" {
		t.Errorf("delete many: %+v, %v", out, err)
	}
	_, err = c.CopyObject(ctx, &s3.CopyObjectInput{Bucket: bucket, Key: aws.String("c/data/s/g/copy"), CopySource: aws.String("bucket/c/data/s/g/k"), IfNoneMatch: aws.String("*")})
	mustCode(t, err, "AccessDenied")
	_, err = c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: bucket})
	mustCode(t, err, "AccessDenied")
	_, err = c.PutObjectAcl(ctx, &s3.PutObjectAclInput{Bucket: bucket, Key: mine, ACL: types.ObjectCannedACLPublicRead})
	mustCode(t, err, "AccessDenied")
	_, err = c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: mine})
	mustCode(t, err, "AccessDenied")
	_, err = c.ListBuckets(ctx, &s3.ListBucketsInput{})
	mustCode(t, err, "AccessDenied")
	if body, _ := w.Object("bucket", "c/data/s/g/k"); string(body) != "x" || len(w.Keys("bucket")) != 1 {
		t.Errorf("the bucket holds %q", w.Keys("bucket"))
	}
}

// TestMissingIsUnknown: who may not list does not learn that a key is missing.
func TestMissingIsUnknown(t *testing.T) {
	w := newWorld(t)
	get := func(c *s3.Client, key string) error {
		_, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String(key)})
		return err
	}
	reader := w.s3(w.user(data, "reader", document(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`)))
	lister := w.s3(w.user(data, "lister", document(t, mayAll)))
	mustCode(t, get(reader, "none"), "AccessDenied")
	mustCode(t, get(lister, "none"), "NoSuchKey")
	w.PutObject("bucket", "some", nil)
	mustCode(t, get(reader, "some"), "")
}

func TestBucketPolicyAndOwner(t *testing.T) {
	w := newWorld(t)
	c := w.s3(w.user(data, "u", document(t, mayAll)))
	stranger := w.s3(w.user(prod, "s", document(t, mayAll)))
	put := func(c *s3.Client, owner, condition string) error {
		in := &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k"), Body: bytes.NewReader(nil)}
		if owner != "" {
			in.ExpectedBucketOwner = aws.String(owner)
		}
		if condition != "" {
			in.IfNoneMatch = aws.String(condition)
		}
		_, err := c.PutObject(t.Context(), in)
		return err
	}
	mustCode(t, put(stranger, "", "*"), "AccessDenied") // its own account alone cannot grant it
	mustCode(t, put(c, prod, "*"), "AccessDenied")
	mustCode(t, put(c, data, "*"), "")
	w.Remove("bucket", "k")
	w.SetBucketPolicy("bucket", document(t, `{"Sid":"DenyUnconditionalPut","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*",
		"Condition":{"Null":{"s3:if-none-match":"true"},"Bool":{"s3:ObjectCreationOperation":"true"}}}`))
	mustCode(t, put(c, data, ""), "AccessDenied")
	mustCode(t, put(c, data, "*"), "")
	w.SetBucketPolicy("bucket", document(t, `{"Effect":"Allow","Principal":{"AWS":"`+prod+`"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}`))
	mustCode(t, put(stranger, data, ""), "")
	w.SetBucketKey("bucket", "arn:aws:kms:us-east-1:111111111111:key/k")
	mustCode(t, put(c, data, ""), "AccessDenied")
	w.SetPermission(w.UserARN(data, "u"), document(t, mayAll, `{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"arn:aws:kms:us-east-1:111111111111:key/k",
		"Condition":{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com","kms:EncryptionContext:aws:s3:arn":"arn:aws:s3:::bucket"}}}`))
	mustCode(t, put(c, data, ""), "")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Code == "AccessDenied" && (e.By == "" || e.Principal == "") {
			t.Errorf("a denial does not say by what: %+v", e)
		}
	}
}

// assumeWorld has a role in the data account that users of prod may assume with an external id.
func assumeWorld(t *testing.T) (*world, string, *sts.Client, aws.Credentials) {
	t.Helper()
	w := newWorld(t, func(o *standin.Options) { o.Org = "o-1" })
	role := w.Role(data, "fetch", document(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::222222222222:root"},
		"Condition":{"StringEquals":{"sts:ExternalId":"c/g","aws:PrincipalOrgID":"o-1"},"StringLike":{"sts:RoleSessionName":"g-*"}}}`),
		document(t, `{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}`))
	c := w.user(prod, "agent", document(t, `{"Effect":"Allow","Action":["sts:AssumeRole","sts:TagSession"],"Resource":"`+role+`"}`))
	w.PutObject("bucket", "k", []byte("body"))
	w.PutObject("bucket", "mine/k", []byte("body"))
	return w, role, w.sts(c), c
}

func credentialsOf(out *sts.AssumeRoleOutput) aws.Credentials {
	return aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
}

func TestAssumeRole(t *testing.T) {
	w, role, client, _ := assumeWorld(t)
	assume := func(change func(*sts.AssumeRoleInput)) (*sts.AssumeRoleOutput, error) {
		in := &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("g-1"), ExternalId: aws.String("c/g")}
		if change != nil {
			change(in)
		}
		return client.AssumeRole(t.Context(), in)
	}
	for name, c := range map[string]struct {
		change func(*sts.AssumeRoleInput)
		code   string
	}{
		"wrong external id": {func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("c/h") }, "AccessDenied"},
		"no external id":    {func(in *sts.AssumeRoleInput) { in.ExternalId = nil }, "AccessDenied"},
		"session name":      {func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("h-1") }, "AccessDenied"},
		"short name":        {func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("g") }, "ValidationError"},
		"no such role":      {func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String(role + "x") }, "AccessDenied"},
		"too short":         {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(899) }, "ValidationError"},
		"too long":          {func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
		"bad policy":        {func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{}") }, "MalformedPolicyDocument"},
		"tags untrusted":    {func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("me") }, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := assume(c.change)
			mustCode(t, err, c.code)
		})
	}
	out, err := assume(func(in *sts.AssumeRoleInput) {
		in.Policy = aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::bucket/mine/*"}]}`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(*out.AssumedRoleUser.AssumedRoleId, "AROA") || *out.AssumedRoleUser.Arn != "arn:aws:sts::111111111111:assumed-role/fetch/g-1" {
		t.Errorf("got %+v", out.AssumedRoleUser)
	}
	session := credentialsOf(out)
	get := func(key string) error {
		_, err := w.s3(session).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String(key)})
		return err
	}
	mustCode(t, get("mine/k"), "")
	mustCode(t, get("k"), "AccessDenied") // the session's policy
	_, err = w.s3(session).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("mine/new"), Body: strings.NewReader("x")})
	mustCode(t, err, "AccessDenied") // the role's
	w.SetPermission(role)
	mustCode(t, get("mine/k"), "AccessDenied") // at once, in a session that lives
	w.SetPermission(role, document(t, mayAll))
	mustCode(t, get("mine/k"), "")
	w.clock.move(time.Hour)
	mustCode(t, get("mine/k"), "RequestTimeTooSkewed")
	stolen := session
	stolen.SessionToken = ""
	_, err = w.sts(stolen).GetCallerIdentity(t.Context(), nil)
	mustCode(t, err, "InvalidClientTokenId")
}

func TestChained(t *testing.T) {
	w, role, client, _ := assumeWorld(t)
	out, err := client.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String(role), RoleSessionName: aws.String("g-1"), ExternalId: aws.String("c/g")})
	if err != nil {
		t.Fatal(err)
	}
	w.SetPermission(role, document(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`))
	next := w.Role(data, "next", document(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"`+role+`"}}`), document(t, mayAll))
	w.SetLongest(next, 12*time.Hour)
	chained := w.sts(credentialsOf(out))
	in := &sts.AssumeRoleInput{RoleArn: aws.String(next), RoleSessionName: aws.String("n-1"), DurationSeconds: aws.Int32(3601)}
	_, err = chained.AssumeRole(t.Context(), in)
	mustCode(t, err, "ValidationError")
	if !strings.Contains(err.Error(), "role chaining") {
		t.Error(err)
	}
	in.DurationSeconds = aws.Int32(3600)
	if _, err = chained.AssumeRole(t.Context(), in); err != nil {
		t.Error(err)
	}
	w.Delete(role)
	_, err = chained.GetCallerIdentity(t.Context(), nil)
	mustCode(t, err, "InvalidClientTokenId")
}

// TestCallerIdentity takes extra headers that are signed, and refuses what is not exactly one call.
func TestCallerIdentity(t *testing.T) {
	w := newWorld(t)
	c := w.user(prod, "u")
	now := w.clock.now()
	const good = "Action=GetCallerIdentity&Version=2011-06-15"
	send := func(body string, change func(*http.Request)) (int, string) {
		r := w.request(t, http.MethodPost, "/", body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Isthmus-Nonce", "n  1")
		return w.send(t, c, "sts", r, body, now, change)
	}
	if status, body := send(good, nil); status != 200 || !strings.Contains(body, "<Arn>arn:aws:iam::222222222222:user/u</Arn>") || !strings.Contains(body, "<Account>"+prod+"</Account>") {
		t.Errorf("%d %s", status, body)
	}
	for name, a := range map[string]struct {
		body   string
		change func(*http.Request)
		code   string
	}{
		"signed header changed": {good, func(r *http.Request) { r.Header.Set("X-Isthmus-Nonce", "n2") }, "SignatureDoesNotMatch"},
		"body changed":          {good, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Replace(good, "15", "16", 1))) }, "NoSuchVersion"},
		"twice":                 {good + "&Action=AssumeRole", nil, "MalformedQueryString"},
		"another parameter":     {good + "&Foo=1", nil, "ValidationError"},
		"another action":        {strings.Replace(good, "GetCallerIdentity", "GetSessionToken", 1), nil, "InvalidAction"},
		"unsigned":              {good, func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationToken"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := send(a.body, a.change); status == 200 || !strings.Contains(body, "<Code>"+a.code+"</Code>") {
				t.Errorf("%d %s, want %s", status, body, a.code)
			}
		})
	}
	w.SetPermission(w.UserARN(prod, "u"), document(t, `{"Effect":"Deny","Action":"*","Resource":"*"}`))
	if status, body := send(good, nil); status != 200 {
		t.Errorf("a denial holds against GetCallerIdentity: %d %s", status, body)
	}
}

func TestWebIdentityToken(t *testing.T) {
	w := newWorld(t)
	c := w.user(prod, "u", document(t, `{"Effect":"Allow","Action":"sts:GetWebIdentityToken","Resource":"*","Condition":{
		"ForAllValues:StringEquals":{"sts:IdentityTokenAudience":["isthmus:c"]},"Null":{"sts:IdentityTokenAudience":"false"},"NumericLessThanEquals":{"sts:DurationSeconds":300}}}`))
	ask := func(audience string, seconds int32) (*sts.GetWebIdentityTokenOutput, error) {
		return w.sts(c).GetWebIdentityToken(t.Context(), &sts.GetWebIdentityTokenInput{
			Audience: []string{audience}, DurationSeconds: aws.Int32(seconds), SigningAlgorithm: aws.String("ES384"),
		})
	}
	_, err := ask("isthmus:other", 300)
	mustCode(t, err, "AccessDenied")
	_, err = ask("isthmus:c", 301)
	mustCode(t, err, "AccessDenied")
	out, err := ask("isthmus:c", 300)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(*out.WebIdentityToken, "."); n != 2 {
		t.Errorf("a token of %d parts", n+1)
	}
	role := w.Role(data, "r", document(t, `{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"*"}}`), document(t, mayAll))
	_, err = w.sts(aws.Credentials{}).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("n-1"), WebIdentityToken: out.WebIdentityToken,
	})
	mustCode(t, err, "InvalidIdentityToken") // tokens of STS do not lead back into AWS
	answer, err := http.Get(w.url + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	keys, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.Equal(keys, w.JWKS()) || !bytes.Contains(keys, []byte(`"crv":"P-384"`)) {
		t.Errorf("keys: %s, %v", keys, err)
	}
}

func TestRegionAndTrouble(t *testing.T) {
	w := newWorld(t)
	w.BucketIn(data, "elsewhere", "eu-west-1")
	c := w.user(data, "u", document(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`))
	head := func(bucket string) error {
		_, err := w.s3(c).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")})
		return err
	}
	mustCode(t, head("elsewhere"), "AuthorizationHeaderMalformed")
	mustCode(t, head("bucket"), "NoSuchKey")
	w.Down(standin.S3, true)
	var network *url.Error
	if err := head("bucket"); !errors.As(err, &network) {
		t.Errorf("while it is down: %v", err)
	}
	if _, err := w.sts(c).GetCallerIdentity(t.Context(), nil); err != nil {
		t.Errorf("STS is not down: %v", err)
	}
	w.Down(standin.S3, false)
	w.Slow(standin.S3, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.s3(c).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is slow: %v", err)
	}
	w.Slow(standin.S3, 0)
	mustCode(t, head("bucket"), "NoSuchKey")
}

func TestBounded(t *testing.T) {
	w := newWorld(t, func(o *standin.Options) { o.MaxBytes, o.MaxObject = 100, 60 })
	c := w.s3(w.user(data, "u", document(t, mayAll)))
	put := func(key string, size int) error {
		_, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String(key), Body: bytes.NewReader(make([]byte, size))})
		return err
	}
	mustCode(t, put("a", 61), "EntityTooLarge")
	mustCode(t, put("a", 60), "")
	mustCode(t, put("b", 60), "SlowDown")
	mustCode(t, put("a", 50), "")
	mustCode(t, put("b", 50), "")
	w.Remove("bucket", "a")
	mustCode(t, put("c", 50), "")
	w.Bucket(data, "bucket")
	mustCode(t, put("d", 60), "")
	mustCode(t, put(strings.Repeat("k", 1025), 1), "KeyTooLongError")
}

func TestFolders(t *testing.T) {
	w := newWorld(t)
	c := w.s3(w.user(data, "u", document(t, mayAll)))
	for _, key := range []string{"a/1", "a/2", "b", "c/d/1", "c/d/2", "c/e"} {
		w.PutObject("bucket", key, []byte(key))
	}
	var got []string
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String("bucket"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.CommonPrefixes {
			got = append(got, *p.Prefix)
		}
		for _, o := range page.Contents {
			got = append(got, *o.Key)
		}
	}
	if want := "a/ b c/"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzRequest: no request, however written, ends in anything but an answer.
func FuzzRequest(f *testing.F) {
	w := standin.New(standin.Options{})
	w.Bucket(data, "bucket")
	f.Add("PUT", "/bucket/k?uploadId=1&partNumber=x", "AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=00", "x")
	f.Add("POST", "/", "", "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn:aws:iam::111111111111:role/x&RoleSessionName=abc&WebIdentityToken=a.b.c")
	f.Add("GET", "/bucket/k?X-Amz-Signature=0&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=1&X-Amz-Credential=a/20260101/r/s3/aws4_request&X-Amz-SignedHeaders=host", "", "")
	f.Fuzz(func(t *testing.T, method, target, authorization, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Host: "h"}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
			r.Header.Set("X-Amz-Date", "20260101T000000Z")
		}
		answer := &recorder{header: http.Header{}}
		w.ServeHTTP(answer, r)
		if answer.status < 400 && !strings.HasPrefix(u.Path, "/.well-known/") {
			t.Errorf("%s %s: %d without a signature", method, target, answer.status)
		}
	})
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
