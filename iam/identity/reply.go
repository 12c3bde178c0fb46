package identity

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// caller is what STS says about who signed.
type caller struct{ arn, userID, account string }

// parseReply takes an answer to GetCallerIdentity in exactly the shape that STS gives it: every element known, in its
// place and there once, no attribute but the namespace, nothing behind the end. A lenient reader finds an identity
// in what was an answer to something else.
func parseReply(body []byte) (caller, error) {
	var c caller
	parents := map[string]string{ // of each element; the names are unique in the answer
		"GetCallerIdentityResponse": "",
		"GetCallerIdentityResult":   "GetCallerIdentityResponse", "ResponseMetadata": "GetCallerIdentityResponse",
		"Arn": "GetCallerIdentityResult", "UserId": "GetCallerIdentityResult", "Account": "GetCallerIdentityResult",
		"RequestId": "ResponseMetadata",
	}
	var requestID string
	leaves := map[string]*string{"Arn": &c.arn, "UserId": &c.userID, "Account": &c.account, "RequestId": &requestID}
	met := map[string]bool{}
	path := []string{""}
	d := xml.NewDecoder(bytes.NewReader(body))
	for first := true; ; first = false {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return caller{}, err
		}
		at := path[len(path)-1]
		switch t := t.(type) {
		case xml.StartElement:
			name := t.Name.Local
			parent, known := parents[name]
			switch {
			case !known || parent != at || t.Name.Space != stsNamespace:
				return caller{}, fmt.Errorf("element %.40q of %.60q within %.40q does not belong there", name, t.Name.Space, at)
			case met[name]:
				return caller{}, fmt.Errorf("element %s is there twice", name)
			}
			for _, a := range t.Attr {
				if a.Name.Space != "" || a.Name.Local != "xmlns" {
					return caller{}, fmt.Errorf("element %s has the attribute %.40q", name, a.Name.Local)
				}
			}
			met[name] = true
			path = append(path, name)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if leaf, ok := leaves[at]; ok {
				*leaf += string(t)
			} else if len(bytes.TrimSpace(t)) != 0 {
				return caller{}, fmt.Errorf("text within %.40q", at)
			}
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return caller{}, fmt.Errorf("a processing instruction %.40q", t.Target)
			}
		default:
			return caller{}, fmt.Errorf("a comment or directive")
		}
	}
	if c.arn == "" || c.userID == "" || c.account == "" {
		return caller{}, errors.New("it lacks one of Arn, UserId and Account")
	}
	return c, nil
}

// proven holds the three parts of an answer against each other. The session's name goes no further: who assumes a role
// chooses it.
func (c caller) proven(partition string) (Proven, error) {
	strange := func(format string, args ...any) (Proven, error) {
		return Proven{}, failf(ErrRefused, "", "STS named a caller that cannot be let in: "+format, args...)
	}
	a, err := parseARN(c.arn)
	if err != nil {
		return strange("%v", err)
	}
	switch {
	case a.partition != partition:
		return strange("%s is of the partition %s, and not of %s", c.arn, a.partition, partition)
	case a.account != c.account:
		return strange("its ARN is of the account %s, and its account is %.20q", a.account, c.account)
	}
	p := Proven{Method: MethodSigV4, Account: a.account, Bound: true}
	switch {
	case a.service == "sts" && a.kind == "assumed-role":
		role, session, ok := strings.Cut(a.name, "/")
		id, named, both := strings.Cut(c.userID, ":")
		if !ok || !both || session != named || !only(role, 1, 64, nameCharsIAM) || !only(session, 2, 64, nameCharsIAM) {
			return strange("%.140q and %.140q are not of one session of a role", c.arn, c.userID)
		}
		p.ARN, p.UniqueID = "arn:"+partition+":iam::"+a.account+":role/"+role, id
	case a.service == "iam" && a.kind == "user":
		name := a.name[strings.LastIndexByte(a.name, '/')+1:] // names are unique in an account, whatever their path
		if !only(name, 1, 64, nameCharsIAM) {
			return strange("%.140q has no name", c.arn)
		}
		p.ARN, p.UniqueID = "arn:"+partition+":iam::"+a.account+":user/"+name, c.userID
	default:
		return strange("%.140q is neither a role nor a user", c.arn)
	}
	if !only(p.UniqueID, 16, 128, letters+digits+"_") {
		return strange("its id %.140q is not one like AROA…", p.UniqueID)
	}
	return p, nil
}

// parseRefusal finds the code of an error of STS, if there is one, and whether it is about the date of the signature.
func parseRefusal(body []byte) (code string, clock bool) {
	var e struct {
		Error struct{ Code, Message string }
	}
	if xml.Unmarshal(body, &e) != nil || !only(e.Error.Code, 1, 64, letters+digits+".") {
		return "", false
	}
	m := e.Error.Message
	return e.Error.Code, e.Error.Code == "RequestExpired" || strings.HasPrefix(m, "Signature expired") || strings.Contains(m, "not yet current")
}
