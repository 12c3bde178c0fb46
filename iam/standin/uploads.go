package standin

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	maxParts = 10_000
	minPart  = 5 << 20
)

type initiateResult struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	Bucket   string
	Key      string
	UploadID string `xml:"UploadId"`
}

func (c *call) createUpload() *fault {
	if f := c.mayPut(false); f != nil {
		return f
	}
	id := random(24)
	c.mu.Lock()
	full := len(c.bucket.uploads) >= maxUploads
	if !full {
		c.bucket.uploads[id] = &upload{key: c.key, parts: map[int]*object{}}
	}
	c.mu.Unlock()
	if full {
		return errFull
	}
	respond(c.rw, http.StatusOK, initiateResult{Bucket: c.bucket.name, Key: c.key, UploadID: id})
	return nil
}

// upload finds the upload that a request means; the lock is held.
func (c *call) upload() *upload {
	if u := c.bucket.uploads[c.query.Get("uploadId")]; u != nil && u.key == c.key {
		return u
	}
	return nil
}

func (c *call) putPart() *fault {
	if f := c.mayPut(false); f != nil {
		return f
	}
	if c.r.Header.Get("X-Amz-Copy-Source") != "" {
		return notImplemented("UploadPartCopy")
	}
	number, err := strconv.Atoi(c.query.Get("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return invalidArgument("Part number must be an integer between 1 and 10000, inclusive")
	}
	body, f := c.body(c.opts.MaxObject)
	if f != nil {
		return f
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.upload()
	if u == nil {
		return errNoSuchUpload
	}
	n := int64(len(body))
	if old := u.parts[number]; old != nil {
		n -= int64(len(old.body))
	}
	if !c.take(n) {
		return errFull
	}
	u.parts[number] = &object{body: body, etag: etag(body)}
	c.rw.Header().Set("ETag", u.parts[number].etag)
	c.rw.WriteHeader(http.StatusOK)
	return nil
}

type completeRequest struct {
	Parts []struct {
		PartNumber int
		ETag       string
	} `xml:"Part"`
}

type completeResult struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Bucket  string
	Key     string
	ETag    string
}

func (c *call) completeUpload() *fault {
	if f := c.mayPut(true); f != nil {
		return f
	}
	conditional, match, f := c.preconditions()
	if f != nil {
		return f
	}
	var request completeRequest
	if f := c.document(&request); f != nil {
		return f
	}
	body, f := c.assemble(request)
	if f != nil {
		return f
	}
	return c.write(body, conditional, match, func(o *object) {
		c.endUpload()
		respond(c.rw, http.StatusOK, completeResult{Bucket: c.bucket.name, Key: c.key, ETag: o.etag})
	})
}

// assemble joins the parts that are asked for, if they are there.
func (c *call) assemble(request completeRequest) ([]byte, *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.upload()
	if u == nil {
		return nil, errNoSuchUpload
	}
	if len(request.Parts) == 0 {
		return nil, errMalformedXML
	}
	var bodies [][]byte
	var size int64
	for i, asked := range request.Parts {
		part := u.parts[asked.PartNumber]
		switch {
		case i > 0 && asked.PartNumber <= request.Parts[i-1].PartNumber:
			return nil, faultf(http.StatusBadRequest, "InvalidPartOrder", "The list of parts was not in ascending order.")
		case part == nil || strings.Trim(part.etag, `"`) != strings.Trim(asked.ETag, `"`):
			return nil, faultf(http.StatusBadRequest, "InvalidPart", "One or more of the specified parts could not be found.")
		case i < len(request.Parts)-1 && len(part.body) < minPart:
			return nil, faultf(http.StatusBadRequest, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
		}
		bodies = append(bodies, part.body)
		if size += int64(len(part.body)); size > c.opts.MaxObject {
			return nil, errTooLarge
		}
	}
	return slices.Concat(bodies...), nil
}

// endUpload forgets an upload, and reports whether there was one.
func (c *call) endUpload() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.upload()
	if u != nil {
		c.forget(u)
		delete(c.bucket.uploads, c.query.Get("uploadId"))
	}
	return u != nil
}

func (c *call) abortUpload() *fault {
	if f := c.allow("AbortMultipartUpload", c.objectARN(), nil); f != nil {
		return f
	}
	if !c.endUpload() {
		return errNoSuchUpload
	}
	c.rw.WriteHeader(http.StatusNoContent)
	return nil
}
