package standin

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
)

const (
	listTime = "2006-01-02T15:04:05.000Z"
	maxPage  = 1000
)

type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	KeyCount, MaxKeys     int
	IsTruncated           bool
	Contents              []listed       `xml:",omitempty"`
	CommonPrefixes        []commonPrefix `xml:",omitempty"`
}

type listed struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
	StorageClass string
}

type commonPrefix struct{ Prefix string }

// list is ListObjectsV2; the first version of it is decided and not carried out.
func (c *call) list() *fault {
	q := c.query
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	most := maxPage
	keys := map[string][]string{}
	if q.Has("prefix") {
		keys["s3:prefix"] = []string{prefix}
	}
	if q.Has("delimiter") {
		keys["s3:delimiter"] = []string{delimiter}
	}
	if text := q.Get("max-keys"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return invalidArgument("max-keys must be a number from 0")
		}
		most = min(most, int(n))
		keys["s3:max-keys"] = []string{text}
	}
	if f := c.allow("ListBucket", c.bucketARN(), keys); f != nil {
		return f
	}
	if q.Get("list-type") != "2" {
		return notImplemented("the first version of ListObjects")
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return invalidArgument("The continuation token provided is incorrect")
		}
		after = string(last)
	}
	encode := func(s string) string { return s }
	if q.Get("encoding-type") == "url" {
		encode = func(s string) string { return uriEncode(s, true) }
	}
	result := listResult{
		Name: c.bucket.name, Prefix: encode(prefix), Delimiter: encode(delimiter), StartAfter: encode(q.Get("start-after")),
		ContinuationToken: q.Get("continuation-token"), EncodingType: q.Get("encoding-type"), MaxKeys: most,
	}
	c.page(&result, prefix, delimiter, after, most, encode)
	respond(c.rw, http.StatusOK, result)
	return nil
}

// page fills in the keys with prefix that follow after, those with the delimiter behind it as one.
func (c *call) page(result *listResult, prefix, delimiter, after string, most int, encode func(string) string) {
	last, common := "", ""
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bucket.objects.Ascend(max(prefix, after), func(key string, o *object) bool {
		if !strings.HasPrefix(key, prefix) {
			return key < prefix
		}
		if key <= after || common != "" && strings.HasPrefix(key, common) || delimiter != "" && strings.HasSuffix(after, delimiter) && strings.HasPrefix(key, after) && after != prefix {
			return true
		}
		if result.KeyCount == most {
			result.IsTruncated = most > 0
			return false
		}
		result.KeyCount++
		if delimiter != "" {
			if at := strings.Index(key[len(prefix):], delimiter); at >= 0 {
				common = key[:len(prefix)+at+len(delimiter)]
				last = common
				result.CommonPrefixes = append(result.CommonPrefixes, commonPrefix{encode(common)})
				return true
			}
		}
		last = key
		result.Contents = append(result.Contents, listed{
			Key: encode(key), LastModified: o.modified.Format(listTime), ETag: o.etag, Size: len(o.body), StorageClass: "STANDARD",
		})
		return true
	})
	if result.IsTruncated {
		result.NextContinuationToken = base64.RawURLEncoding.EncodeToString([]byte(last))
	}
}
