//go:build e2e && linux

package e2e

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/isthmusdata/isthmus/iam/standin"
	"github.com/isthmusdata/isthmus/internal/e2e/walls"
)

const (
	aheadPort  = 17600
	aheadShare = "ahead"
)

// cloudAhead lets records flow through a share of its own, whose bucket and STS are embedded and whose clock is moved: STS is away for
// ten minutes, in which agents go on by the sessions they have, and past the end of those, in the middle of uploads. Then
// nothing can be stored or read, nothing is acknowledged, and when STS is back all goes on by itself.
func (w *wallsWorld) cloudAhead() {
	w.t.Helper()
	var ahead, refused atomic.Int64 // of the machine's clock; requests that were refused for their time
	cloud := standin.New(standin.Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Observe: func(e standin.Event) {
			if e.Code == "ExpiredToken" || e.Code == "RequestTimeTooSkewed" {
				refused.Add(1)
			}
		},
	})
	w.serveTLS(cloud, "ahead", aheadPort)
	w.makeCloud(cloud)
	url := "https://" + w.net.Services.At(aheadPort)
	trust := "AWS_CA_BUNDLE=" + w.ca.File()
	writers := []*agent{w.startAgent(w.net.A, "writers", "produce", 4, "--sts-endpoint", url, trust)}
	readers := []*agent{w.startAgent(w.net.B, "readers", "fetch", 4, "--sts-endpoint", url, trust)}
	w.agentReady(w.net.A, writers[0])
	w.agentReady(w.net.B, readers[0])

	f := w.startFlow("ahead", "readers-ahead", writers, readers)
	f.moves("with a cloud of its own", 100)
	cloud.Down(standin.STS, true)
	ahead.Store(int64(10 * time.Minute))
	f.moves("ten minutes after STS has gone", 200)

	cloud.Slow(standin.S3, 1500*time.Millisecond) // so that uploads are under way
	f.moves("while uploads are slow", 20)
	ahead.Store(int64(70 * time.Minute))
	f.standsStill("after sessions have ended and STS is away")
	if refused.Load() == 0 { // clocks apart are corrected after the first refusal; that nothing moves then is the sessions' end
		w.t.Error("no request was refused for its time")
	}
	cloud.Slow(standin.S3, 0)
	cloud.Down(standin.STS, false)
	f.moves("after STS was back", 200)
	f.end()
	w.stop(writers[0])
	w.stop(readers[0])
}

// makeCloud makes the share in it, and lets two groups of their own at it.
func (w *wallsWorld) makeCloud(cloud *standin.World) {
	w.t.Helper()
	cloud.Account(dataAccount)
	cloud.Bucket(dataAccount, meshBucket)
	share := []string{"share", "create", aheadShare, "--region", "us-east-1",
		"--bucket", fmt.Sprintf("s3://%s?endpoint=https://%s&region=us-east-1&path-style=true&ca=%s", meshBucket, w.net.Services.At(aheadPort), w.ca.File())}
	for _, g := range []struct{ group, role, account string }{{"writers", "produce", prodAccount}, {"readers", "fetch", analyticsAccount}} {
		cloud.Account(g.account)
		id, secret := cloud.User(g.account, g.group)
		w.keys[g.group] = walls.Key{ID: id, Secret: secret}
		arn := cloud.Role(dataAccount, roleName(aheadShare, g.group, g.role), w.trust(g.account, g.group, g.group), w.permission(g.role, aheadShare, g.group, false))
		cloud.SetPermission(cloud.UserARN(g.account, g.group), w.source(arn))
		share = append(share, "--role", g.group+"/"+g.role+"="+arn)
	}
	w.operator(share...)
	w.operator("group", "create", "writers", "--roles", "produce")
	w.operator("group", "create", "readers", "--roles", "fetch")
	w.operator("grant", "create", "writers", "--group", "writers", "--access", "produce", "--share", aheadShare)
	w.operator("grant", "create", "readers", "--group", "readers", "--access", "fetch", "--share", aheadShare)
	w.bind("writers", "produce")
	w.bind("readers", "fetch")
	w.operator("topic", "create", "ahead", "--partitions", fmt.Sprint(flowPartitions), "--share", aheadShare)
}

// serveTLS serves a handler in the services network until the test ends.
func (w *wallsWorld) serveTLS(handler http.Handler, name string, port int) {
	w.t.Helper()
	listener, err := w.net.Services.Listen(port)
	w.check(err)
	certFile, keyFile, err := w.ca.Server(name, w.net.Services.Address)
	w.check(err)
	server := &http.Server{Handler: handler}
	go server.ServeTLS(listener, certFile, keyFile)
	w.t.Cleanup(func() { server.Close() })
}
