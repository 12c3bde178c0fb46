package standin

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash"
	"hash/crc32"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// etag is what the protocol compares bodies by; nothing here depends on how it is made.
func etag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}

// checksumHeaders are the checksums that may come with a body.
var checksumHeaders = map[string]func() hash.Hash{
	"Content-Md5":           md5.New,
	"X-Amz-Checksum-Crc32":  func() hash.Hash { return crc32.NewIEEE() },
	"X-Amz-Checksum-Crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"X-Amz-Checksum-Sha1":   sha1.New,
	"X-Amz-Checksum-Sha256": sha256.New,
}

func (c *call) checksums(b []byte) *fault {
	for header, algorithm := range checksumHeaders {
		want := c.r.Header.Get(header)
		if want == "" {
			continue
		}
		h := algorithm()
		h.Write(b)
		if base64.StdEncoding.EncodeToString(h.Sum(nil)) != want {
			return faultf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", header)
		}
	}
	return nil
}

// conditions are the keys that policies know of a write.
func (c *call) conditions(creates bool) map[string][]string {
	keys := map[string][]string{"s3:ObjectCreationOperation": {strconv.FormatBool(creates)}}
	for header, key := range map[string]string{
		"If-None-Match": "s3:if-none-match", "If-Match": "s3:if-match", "X-Amz-Acl": "s3:x-amz-acl",
		"X-Amz-Server-Side-Encryption":                    "s3:x-amz-server-side-encryption",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     "s3:x-amz-server-side-encryption-aws-kms-key-id",
		"X-Amz-Server-Side-Encryption-Customer-Algorithm": "s3:x-amz-server-side-encryption-customer-algorithm",
		"X-Amz-Storage-Class":                             "s3:x-amz-storage-class",
		"X-Amz-Copy-Source":                               "s3:x-amz-copy-source",
	} {
		if v := c.r.Header.Get(header); v != "" {
			keys[key] = []string{v}
		}
	}
	return keys
}

// mayPut decides a request that makes, or begins to make, an object.
func (c *call) mayPut(creates bool) *fault {
	if f := c.allow("PutObject", c.objectARN(), c.conditions(creates)); f != nil {
		return f
	}
	if aclHeaders(c.r.Header) {
		if f := c.allow("PutObjectAcl", c.objectARN(), nil); f != nil {
			return f
		}
		return faultf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	if c.r.Header.Get("X-Amz-Tagging") != "" {
		return c.unsupported("PutObjectTagging", c.objectARN())
	}
	return c.mayUseKey("GenerateDataKey")
}

// put stores an object: a new one, where the caller asks for that.
func (c *call) put() *fault {
	source := c.r.Header.Get("X-Amz-Copy-Source")
	if f := c.mayPut(true); f != nil {
		return f
	}
	conditional, match, f := c.preconditions()
	if f != nil {
		return f
	}
	var body []byte
	if source != "" {
		if body, f = c.copied(source); f != nil {
			return f
		}
	}
	if conditional {
		release, f := c.reserve()
		if f != nil {
			return f
		}
		defer release()
	}
	if source == "" {
		if body, f = c.body(c.opts.MaxObject); f != nil {
			return f
		}
	}
	return c.write(body, conditional, match, func(o *object) {
		if source != "" {
			respond(c.rw, http.StatusOK, copyResult{ETag: o.etag, LastModified: o.modified.Format(listTime)})
			return
		}
		c.rw.Header().Set("ETag", o.etag)
		c.rw.WriteHeader(http.StatusOK)
	})
}

type copyResult struct {
	XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CopyObjectResult"`
	ETag         string
	LastModified string
}

func (c *call) preconditions() (conditional bool, match string, f *fault) {
	match = c.r.Header.Get("If-Match")
	switch none := c.r.Header.Get("If-None-Match"); {
	case none == "":
		return false, match, nil
	case none != "*" || match != "":
		return false, "", notImplemented("this combination of If-None-Match and If-Match")
	}
	return true, "", nil
}

// reserve lets one conditional put of a key go on at a time, as S3 does: the others are told to try again.
func (c *call) reserve() (release func(), f *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.bucket.objects.Get(c.key); there {
		return nil, errExists
	}
	if c.bucket.writing[c.key] {
		return nil, errConflict
	}
	c.bucket.writing[c.key] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.bucket.writing, c.key)
	}, nil
}

// write stores the body if what was asked of the key still holds, and answers.
func (c *call) write(body []byte, conditional bool, match string, answer func(*object)) *fault {
	c.mu.Lock()
	old, there := c.bucket.objects.Get(c.key)
	var o *object
	var f *fault
	switch {
	case conditional && there:
		f = errExists
	case match != "" && !there:
		f = errNoSuchKey
	case match != "" && match != "*" && strings.Trim(match, `"`) != strings.Trim(old.etag, `"`):
		f = errExists
	default:
		if o = c.store(c.bucket, c.key, body); o == nil {
			f = errFull
		}
	}
	c.mu.Unlock()
	if f != nil {
		return f
	}
	answer(o)
	return nil
}

// copied reads the source of a copy, which needs the right to.
func (c *call) copied(source string) ([]byte, *fault) {
	path, err := url.PathUnescape(strings.TrimPrefix(source, "/"))
	name, key, ok := strings.Cut(path, "/")
	if err != nil || !ok || key == "" || strings.Contains(key, "?versionId=") {
		return nil, invalidArgument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	from := *c
	from.key = key
	c.mu.Lock()
	from.bucket = c.buckets[name]
	c.mu.Unlock()
	if from.bucket == nil {
		return nil, faultf(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	}
	o, f := from.read()
	if f != nil {
		return nil, f
	}
	return o.body, nil
}

// read finds an object that the caller may read. That it is missing is told only to who may list the bucket.
func (c *call) read() (*object, *fault) {
	if f := c.allow("GetObject", c.objectARN(), nil); f != nil {
		return nil, f
	}
	c.mu.Lock()
	o, there := c.bucket.objects.Get(c.key)
	c.mu.Unlock()
	if there {
		return o, c.mayUseKey("Decrypt")
	}
	if f := c.allow("ListBucket", c.bucketARN(), nil); f != nil {
		return nil, f
	}
	return nil, errNoSuchKey
}

func (c *call) get() *fault {
	o, f := c.read()
	if f != nil {
		return f
	}
	h := c.rw.Header()
	size := int64(len(o.body))
	first, last, partial, ok := parseRange(c.r.Header.Get("Range"), size)
	if !ok {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return faultf(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The requested range is not satisfiable")
	}
	if match := c.r.Header.Get("If-Match"); match != "" && strings.Trim(match, `"`) != strings.Trim(o.etag, `"`) {
		return errExists
	}
	h.Set("ETag", o.etag)
	h.Set("Last-Modified", o.modified.Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(last-first+1, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, size))
	}
	c.rw.WriteHeader(status)
	if c.r.Method == http.MethodGet {
		_, _ = c.rw.Write(o.body[first : last+1]) // whoever asked may be gone
	}
	return nil
}

// parseRange reads one range; what is none, or several, is the whole object.
func parseRange(header string, size int64) (first, last int64, partial, ok bool) {
	whole := func() (int64, int64, bool, bool) { return 0, size - 1, false, true }
	spec, found := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(spec, "-")
	if !found || !dash || strings.Contains(spec, ",") {
		return whole()
	}
	if from == "" {
		n, err := strconv.ParseUint(to, 10, 63)
		switch {
		case err != nil:
			return whole()
		case n == 0 || size == 0:
			return 0, 0, false, false
		}
		return max(0, size-int64(n)), size - 1, true, true
	}
	f, err := strconv.ParseUint(from, 10, 63)
	if err != nil {
		return whole()
	}
	last = size - 1
	if to != "" {
		l, err := strconv.ParseUint(to, 10, 63)
		if err != nil || l < f {
			return whole()
		}
		last = min(last, int64(l))
	}
	if int64(f) >= size {
		return 0, 0, false, false
	}
	return int64(f), last, true, true
}

func (c *call) delete() *fault {
	if f := c.allow("DeleteObject", c.objectARN(), nil); f != nil {
		return f
	}
	c.mu.Lock()
	c.drop(c.bucket, c.key)
	c.mu.Unlock()
	c.rw.WriteHeader(http.StatusNoContent)
	return nil
}

type deleteRequest struct {
	Quiet   bool
	Objects []struct {
		Key       string
		VersionID string `xml:"VersionId"`
	} `xml:"Object"`
}

type deleteResult struct {
	XMLName xml.Name      `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Deleted []deletedKey  `xml:",omitempty"`
	Errors  []deleteError `xml:"Error,omitempty"`
}

type deletedKey struct{ Key string }

type deleteError struct{ Key, Code, Message string }

// deleteMany answers 200 and says of each key what became of it, also when all are denied.
func (c *call) deleteMany() *fault {
	var request deleteRequest
	if f := c.document(&request); f != nil {
		return f
	}
	if len(request.Objects) == 0 || len(request.Objects) > 1000 {
		return errMalformedXML
	}
	var result deleteResult
	for _, o := range request.Objects {
		c.key = o.Key
		action := "DeleteObject"
		if o.VersionID != "" {
			action = "DeleteObjectVersion"
		}
		f := c.allow(action, c.objectARN(), nil)
		if f == nil && o.VersionID != "" {
			f = notImplemented("versions")
		}
		if f != nil {
			result.Errors = append(result.Errors, deleteError{o.Key, f.code, f.message})
			continue
		}
		c.mu.Lock()
		c.drop(c.bucket, o.Key)
		c.mu.Unlock()
		if !request.Quiet {
			result.Deleted = append(result.Deleted, deletedKey{o.Key})
		}
	}
	if len(result.Errors) > 0 {
		c.event.Code = result.Errors[0].Code
	}
	respond(c.rw, http.StatusOK, result)
	return nil
}
