package standin

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
)

// fault is an error as AWS answers it.
type fault struct {
	status  int
	code    string
	message string
	region  string // of AuthorizationHeaderMalformed: where the bucket is
}

func faultf(status int, code, format string, args ...any) *fault {
	return &fault{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// The faults that several requests share.
var (
	errAccessDenied = &fault{status: http.StatusForbidden, code: "AccessDenied", message: "Access Denied"}
	errNoSuchKey    = &fault{status: http.StatusNotFound, code: "NoSuchKey", message: "The specified key does not exist."}
	errNoSuchUpload = &fault{status: http.StatusNotFound, code: "NoSuchUpload", message: "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
	errExists       = &fault{status: http.StatusPreconditionFailed, code: "PreconditionFailed", message: "At least one of the pre-conditions you specified did not hold"}
	errConflict     = &fault{status: http.StatusConflict, code: "ConditionalRequestConflict", message: "The conditional request cannot succeed due to a conflicting operation against this resource."}
	errFull         = &fault{status: http.StatusServiceUnavailable, code: "SlowDown", message: "Please reduce your request rate: the stand-in holds as many bytes as it may."}
	errMalformedXML = &fault{status: http.StatusBadRequest, code: "MalformedXML", message: "The XML you provided was not well-formed or did not validate against our published schema"}
	errTooLarge     = &fault{status: http.StatusBadRequest, code: "EntityTooLarge", message: "Your proposed upload exceeds the maximum allowed size"}
	errBrokenBody   = &fault{status: http.StatusBadRequest, code: "IncompleteBody", message: "You did not provide the number of bytes specified by the Content-Length HTTP header."}
)

func invalidArgument(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, "InvalidArgument", format, args...)
}

func notImplemented(what string) *fault {
	return faultf(http.StatusNotImplemented, "NotImplemented", "The stand-in does not know %s.", what)
}

type s3Error struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Region    string `xml:",omitempty"`
	Resource  string
	RequestID string `xml:"RequestId"`
}

type stsError struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Error   struct {
		Type    string
		Code    string
		Message string
	}
	RequestID string `xml:"RequestId"`
}

// s3Fault answers a fault as S3 does: without a body to HEAD.
func s3Fault(w http.ResponseWriter, r *http.Request, f *fault) {
	if r.Method == http.MethodHead {
		w.WriteHeader(f.status)
		return
	}
	respond(w, f.status, s3Error{Code: f.code, Message: f.message, Region: f.region, Resource: r.URL.Path, RequestID: w.Header().Get("X-Amz-Request-Id")})
}

func stsFault(w http.ResponseWriter, f *fault) {
	e := stsError{RequestID: w.Header().Get("X-Amzn-Requestid")}
	e.Error.Type, e.Error.Code, e.Error.Message = "Sender", f.code, f.message
	if f.status >= http.StatusInternalServerError {
		e.Error.Type = "Receiver"
	}
	respond(w, f.status, e)
}

// respond writes a value as XML. Whoever asked may be gone; there is nobody else to tell.
func respond(w http.ResponseWriter, status int, v any) {
	body, err := xml.Marshal(v)
	if err != nil { // the types here can all be marshalled
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	body = append([]byte(xml.Header), body...)
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/xml") // S3's
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
