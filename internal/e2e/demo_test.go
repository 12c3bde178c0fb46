//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

func dial(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		c.Close()
	}
	return err
}

// TestDemoPage opens the demo's page in Chromium: the numbers move, an agent is killed with the
// page's button and returns, and nothing is lost meanwhile.
func TestDemoPage(t *testing.T) {
	needProgram(t, "chromium")
	page := freeAddress(t)
	demo := exec.Command(need(t, "ISTHMUS_BIN"), "demo", "--for", "45s", "--open=false", "--output", "json", "--http", page)
	var stdout, stderr bytes.Buffer
	demo.Stdout, demo.Stderr = &stdout, &stderr
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { demo.Process.Kill() })
	eventually(t, "the page is served", func() error { return dial(page) })

	browse(t, "http://"+page+"/")

	if err := demo.Wait(); err != nil {
		t.Fatalf("demo: %v\n%s\n%s", err, stdout.String(), tail(stderr.String(), 30))
	}
	var printed map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &printed); err != nil {
		t.Fatalf("demo printed %q: %v", stdout.String(), err)
	}
	result := map[string]float64{}
	for name, value := range printed {
		if n, ok := value.(float64); ok {
			result[name] = n
		}
	}
	if thief, _ := printed["thief"].(map[string]any); thief["attempts"] == 0.0 || thief["attempts"] != thief["denied"] {
		t.Errorf("of the thief: %v, want every attempt denied", printed["thief"])
	}
	for _, name := range []string{"produced", "consumed", "produce_p50_ms", "produce_p99_ms", "e2e_p50_ms", "e2e_p99_ms", "puts", "gets"} {
		if result[name] <= 0 {
			t.Errorf("%s = %v, want more than 0", name, result[name])
		}
	}
	for _, name := range []string{"lost", "duplicated", "reordered"} {
		if value, ok := result[name]; !ok || value != 0 {
			t.Errorf("%s = %v (%v), want 0", name, value, ok)
		}
	}
}

// browse sees the numbers move and presses the button.
func browse(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.DisableGPU,
		chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(patience), chromedp.WindowSize(1400, 900))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, patience)
	defer cancel()

	if _, err := chromedp.Run(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open the page: %v", err)
	}
	waitFor := func(what, condition string) {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Poll[bool](condition)); err != nil {
			t.Fatalf("wait until %s: %v", what, err)
		}
	}
	number := func(id string) string {
		return `Number(document.getElementById("` + id + `").textContent.replaceAll(",", ""))`
	}
	waitFor("events are produced", number("produced")+" > 100")
	waitFor("events are consumed", number("consumed")+" > 100")
	waitFor("objects arrive", number("puts")+" > 3 && document.querySelectorAll('#objects li').length > 3")
	waitFor("latency is shown", `parseInt(document.getElementById("e2e_p99").textContent) > 0`)
	click := func() {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Click("#agent_prod-1 button")); err != nil {
			t.Fatalf("press the button: %v", err)
		}
	}
	click()
	waitFor("the agent is killed", `document.querySelector("#agent_prod-1.down") !== null`)
	waitFor("events are still produced", `(() => { window.before ??= `+number("produced")+`; return `+number("produced")+` > window.before + 300; })()`)
	click()
	waitFor("the agent is back", `document.querySelector("#agent_prod-1:not(.down)") !== null`)
	waitFor("the thief is denied", number("attempts")+" >= 16 && "+number("attempts")+" === "+number("denied"))
	press := func() {
		t.Helper()
		if _, err := chromedp.Run(ctx, chromedp.Click("#revoke")); err != nil {
			t.Fatalf("press the button of the walls: %v", err)
		}
	}
	press()
	waitFor("analytics is revoked and falls behind", `document.getElementById("revoke").dataset.revoked === "true" && parseInt(document.getElementById("lag").textContent.replaceAll(",", "")) > 100`)
	press()
	waitFor("analytics reads again", `(() => { window.read ??= `+number("consumed")+`; return document.getElementById("revoke").dataset.revoked === "false" && `+number("consumed")+` > window.read + 100; })()`)
}
