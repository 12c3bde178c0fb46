package standin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// call is one request to S3 while it is answered.
type call struct {
	*World
	rw     http.ResponseWriter
	r      *http.Request
	query  url.Values
	signed *signed
	who    *caller
	event  *Event
	bucket *bucket // its policy and objects are looked at under the World's lock
	key    string
}

func (w *World) serveS3(rw http.ResponseWriter, r *http.Request, e *Event) (f *fault) {
	defer func() {
		if f != nil { // a client that is still sending would not hear why
			_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, w.opts.MaxObject))
		}
	}()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return faultf(http.StatusBadRequest, "InvalidURI", "Couldn't parse the specified URI.")
	}
	c := &call{World: w, rw: rw, r: r, query: query, event: e}
	if c.signed, f = parseSigned(r, query, &s3Dialect); f != nil {
		return f
	}
	if c.who, f = w.authenticate(r, query, c.signed, S3, &s3Dialect); f != nil {
		return f
	}
	e.Principal = c.who.arn
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == "" {
		return c.unsupported("ListAllMyBuckets", "*")
	}
	if f := c.find(name); f != nil {
		return f
	}
	if c.key = key; key == "" {
		return c.serveBucket()
	}
	if len(key) > maxKey {
		return faultf(http.StatusBadRequest, "KeyTooLongError", "Your key is too long")
	}
	return c.serveObject()
}

// find looks for the bucket, and whether the caller means this one.
func (c *call) find(name string) *fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.buckets[name]
	if b == nil {
		if c.r.Method == http.MethodPut && !strings.Contains(strings.TrimPrefix(c.r.URL.Path, "/"), "/") {
			return errAccessDenied // buckets are not made through S3 here
		}
		return faultf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	}
	if c.signed.region != b.region {
		f := faultf(http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region '%s' is wrong; expecting '%s'", c.signed.region, b.region)
		f.region = b.region
		c.rw.Header().Set("X-Amz-Bucket-Region", b.region)
		return f
	}
	if owner := c.r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != b.account {
		c.event.By = "expected bucket owner"
		return errAccessDenied
	}
	c.bucket = b
	return nil
}

// What S3 has besides and is not carried out here, yet decided: query parameter, and the action by method.
var subresources = map[string]map[string]string{
	"acl":               {"GET": "GetObjectAcl", "PUT": "PutObjectAcl"},
	"tagging":           {"GET": "GetObjectTagging", "PUT": "PutObjectTagging", "DELETE": "DeleteObjectTagging"},
	"attributes":        {"GET": "GetObjectAttributes"},
	"retention":         {"GET": "GetObjectRetention", "PUT": "PutObjectRetention"},
	"legal-hold":        {"GET": "GetObjectLegalHold", "PUT": "PutObjectLegalHold"},
	"restore":           {"POST": "RestoreObject"},
	"select":            {"POST": "GetObject"},
	"versionId":         {"GET": "GetObjectVersion", "HEAD": "GetObjectVersion", "DELETE": "DeleteObjectVersion"},
	"uploadId":          {"GET": "ListMultipartUploadParts"},
	"policy":            {"GET": "GetBucketPolicy", "PUT": "PutBucketPolicy", "DELETE": "DeleteBucketPolicy"},
	"policyStatus":      {"GET": "GetBucketPolicyStatus"},
	"versioning":        {"GET": "GetBucketVersioning", "PUT": "PutBucketVersioning"},
	"lifecycle":         {"GET": "GetLifecycleConfiguration", "PUT": "PutLifecycleConfiguration", "DELETE": "PutLifecycleConfiguration"},
	"encryption":        {"GET": "GetEncryptionConfiguration", "PUT": "PutEncryptionConfiguration", "DELETE": "PutEncryptionConfiguration"},
	"ownershipControls": {"GET": "GetBucketOwnershipControls", "PUT": "PutBucketOwnershipControls", "DELETE": "PutBucketOwnershipControls"},
	"publicAccessBlock": {"GET": "GetBucketPublicAccessBlock", "PUT": "PutBucketPublicAccessBlock", "DELETE": "PutBucketPublicAccessBlock"},
	"replication":       {"GET": "GetReplicationConfiguration", "PUT": "PutReplicationConfiguration", "DELETE": "PutReplicationConfiguration"},
	"logging":           {"GET": "GetBucketLogging", "PUT": "PutBucketLogging"},
	"notification":      {"GET": "GetBucketNotification", "PUT": "PutBucketNotification"},
	"object-lock":       {"GET": "GetBucketObjectLockConfiguration", "PUT": "PutBucketObjectLockConfiguration"},
	"cors":              {"GET": "GetBucketCORS", "PUT": "PutBucketCORS", "DELETE": "PutBucketCORS"},
	"website":           {"GET": "GetBucketWebsite", "PUT": "PutBucketWebsite", "DELETE": "DeleteBucketWebsite"},
	"location":          {"GET": "GetBucketLocation"},
	"versions":          {"GET": "ListBucketVersions"},
	"uploads":           {"GET": "ListBucketMultipartUploads"},
}

// subresource is the action of a request for something besides objects, or empty.
func (c *call) subresource() string {
	for _, name := range slices.Sorted(maps.Keys(subresources)) { // of several, always the same
		if action := subresources[name][c.r.Method]; c.query.Has(name) && action != "" {
			if c.key == "" {
				action = strings.Replace(action, "Object", "Bucket", 1)
			}
			return action
		}
	}
	return ""
}

func (c *call) serveBucket() *fault {
	if action := c.subresource(); action != "" {
		return c.unsupported(action, c.bucketARN())
	}
	switch {
	case c.r.Method == http.MethodGet:
		return c.list()
	case c.r.Method == http.MethodHead:
		return c.allow("ListBucket", c.bucketARN(), nil)
	case c.r.Method == http.MethodPost && c.query.Has("delete"):
		return c.deleteMany()
	case c.r.Method == http.MethodDelete:
		return c.unsupported("DeleteBucket", c.bucketARN())
	case c.r.Method == http.MethodPut:
		return c.unsupported("CreateBucket", c.bucketARN())
	}
	return faultf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
}

func (c *call) serveObject() *fault {
	method := c.r.Method
	if method == http.MethodDelete && c.query.Has("uploadId") {
		return c.abortUpload()
	}
	if action := c.subresource(); action != "" {
		return c.unsupported(action, c.objectARN())
	}
	switch {
	case method == http.MethodGet, method == http.MethodHead:
		return c.get()
	case method == http.MethodPut && c.query.Has("uploadId"):
		return c.putPart()
	case method == http.MethodPut:
		return c.put()
	case method == http.MethodDelete:
		return c.delete()
	case method == http.MethodPost && c.query.Has("uploads"):
		return c.createUpload()
	case method == http.MethodPost && c.query.Has("uploadId"):
		return c.completeUpload()
	}
	return faultf(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
}

// unsupported denies what is denied; the rest is not there.
func (c *call) unsupported(action, resource string) *fault {
	if f := c.allow(action, resource, nil); f != nil {
		return f
	}
	return notImplemented("s3:" + action)
}

func (c *call) bucketARN() string { return c.World.arn3(c.bucket.name) }

func (c *call) objectARN() string { return c.World.arn3(c.bucket.name + "/" + c.key) }

// arn3 is an ARN of S3, which names no account.
func (w *World) arn3(resource string) string { return w.arn("s3", "", resource) }

// body reads what was sent, as it was signed.
func (c *call) body(most int64) ([]byte, *fault) {
	if c.r.ContentLength > most {
		return nil, errTooLarge
	}
	size := max(c.r.ContentLength, 0)
	b := make([]byte, 0, size)
	var err error
	if c.r.ContentLength >= 0 {
		b = b[:size]
		_, err = io.ReadFull(c.r.Body, b)
	} else if b, err = io.ReadAll(io.LimitReader(c.r.Body, most+1)); int64(len(b)) > most {
		return nil, errTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errBrokenBody
	}
	if c.signed.payload != unsigned {
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != c.signed.payload {
			return nil, faultf(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
		}
	}
	return b, c.checksums(b)
}

// document reads an XML body.
func (c *call) document(v any) *fault {
	b, f := c.body(maxDocument)
	if f != nil {
		return f
	}
	if err := xml.Unmarshal(b, v); err != nil {
		return errMalformedXML
	}
	return nil
}

// supportedPayload says whether the body comes as it is, and not in chunks that carry signatures.
func supportedPayload(s string) bool {
	return s == unsigned || len(s) == sha256.Size*2 && strings.Trim(s, "0123456789abcdef") == ""
}

// aclHeaders are those that grant something on an object.
func aclHeaders(h http.Header) bool {
	return slices.ContainsFunc([]string{"Acl", "Grant-Full-Control", "Grant-Read", "Grant-Read-Acp", "Grant-Write-Acp"}, func(name string) bool {
		return h.Get("X-Amz-"+name) != ""
	})
}
