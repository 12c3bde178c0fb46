package policy

import "github.com/isthmusdata/isthmus/iam"

// Permission is what a role may do with one share of a bucket that its own account owns.
//
// produce has no way to read, to list or to delete, and stores under its own group's prefix alone, so that a thief can
// neither read nor overwrite what the group itself has stored. fetch reads objects whose keys it is told, and cannot
// list them. jobs may list and delete. control has the journal, and no data.
func Permission(role iam.Role, l Layout) (Document, error) {
	l = l.whole()
	if err := l.check(role); err != nil {
		return Document{}, err
	}
	return fits(document(statements(role, l)...), "permission policy", LimitPermission)
}

// Session is the permission again, for AssumeRole's Policy: what a session is narrowed to, should its role ever be wider.
// It is damage limitation and no wall, for who holds the source role can leave it out.
func Session(role iam.Role, l Layout) (Document, error) {
	d, err := Permission(role, l)
	if err != nil {
		return Document{}, err
	}
	for i := range d.Statement {
		d.Statement[i].Sid = "" // every byte counts here
	}
	return fits(d, "session policy", LimitSession)
}

func statements(role iam.Role, l Layout) []Statement {
	share := l.ObjectARN("data/" + l.Share + "/*")
	probes := l.ObjectARN(Probes + "*")
	switch role {
	case iam.Produce:
		own := l.ObjectARN("data/" + l.Share + "/" + l.Group + "/*")
		s := append([]Statement{l.putOnce(own, probes)}, l.parts(own)...)
		return append(s, l.useKey("EncryptOnly", l.encrypts()...)...)
	case iam.Fetch:
		s := []Statement{allow("ReadOnly", Strings{share, l.ObjectARN(Canary)}, "s3:GetObject")}
		return append(s, l.useKey("DecryptOnly", "kms:Decrypt")...)
	case iam.Jobs:
		s := []Statement{allow("ReadDelete", Strings{share, probes}, "s3:GetObject", "s3:DeleteObject"), l.putOnce(share, probes)}
		list := []string{"s3:ListBucket"}
		if l.Multipart {
			list = append(list, "s3:ListBucketMultipartUploads")
		}
		s = append(s, l.listOnly(list, l.Key("data/"+l.Share+"/*"), l.Key(Probes+"*")))
		s = append(s, l.parts(share)...)
		return append(s, l.useKey("UseKey", "kms:Decrypt", "kms:GenerateDataKey")...)
	case iam.Control:
		meta := l.ObjectARN("meta/*")
		s := []Statement{
			allow("ReadOnly", Strings{meta}, "s3:GetObject"), l.putOnce(meta), l.listOnly([]string{"s3:ListBucket"}, l.Key("meta/*")),
		}
		return append(s, l.useKey("UseKey", "kms:Decrypt", "kms:GenerateDataKey")...)
	}
	return nil
}

func allow(sid string, resource Strings, actions ...string) Statement {
	return Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resource}
}

// putOnce lets objects be stored that are not there yet: a PUT must carry If-None-Match, which S3 takes as * alone.
func (l Layout) putOnce(resource ...string) Statement {
	s := allow("PutOnceOnly", resource, "s3:PutObject")
	if l.WithoutConditionalWrites {
		s.Sid = "PutAndOverwrite"
		return s
	}
	s.Condition = Conditions{"Null": {"s3:if-none-match": {"false"}}}
	return s
}

// parts lets an object be stored in parts. The requests before the last one carry no condition; they create no object.
func (l Layout) parts(resource string) []Statement {
	if !l.Multipart {
		return nil
	}
	upload := allow("MultipartParts", Strings{resource}, "s3:PutObject")
	upload.Condition = Conditions{"Bool": {"s3:ObjectCreationOperation": {"false"}}}
	return []Statement{upload, allow("AbortMultipart", Strings{resource}, "s3:AbortMultipartUpload")}
}

// listOnly lets keys be listed below prefixes alone.
func (l Layout) listOnly(actions []string, prefixes ...string) Statement {
	s := allow("ListPrefixOnly", Strings{l.BucketARN()}, actions...)
	s.Condition = Conditions{"StringLike": {"s3:prefix": prefixes}}
	return s
}

// encrypts are the actions of a key that storing takes; parts are read back by S3 when they are put together.
func (l Layout) encrypts() []string {
	if l.Multipart {
		return []string{"kms:Decrypt", "kms:GenerateDataKey"}
	}
	return []string{"kms:GenerateDataKey"}
}

// useKey lets a key be used through S3, and for this bucket. The context is the bucket's ARN because its bucket key is on.
func (l Layout) useKey(sid string, actions ...string) []Statement {
	if l.KMSKey == "" {
		return nil
	}
	s := allow(sid, Strings{l.KMSKey}, actions...)
	s.Condition = Conditions{"StringEquals": {"kms:ViaService": {l.viaS3()}, "kms:EncryptionContext:aws:s3:arn": {l.BucketARN()}}}
	return []Statement{s}
}

func (l Layout) viaS3() string {
	service := "s3." + l.Region + ".amazonaws.com"
	if l.Partition == "aws-cn" {
		service += ".cn"
	}
	return service
}
