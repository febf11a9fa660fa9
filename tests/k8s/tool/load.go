package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"
)

// What to send: "{id}" in the body and in headers becomes another text each time.
type plan struct {
	url, method, body string
	headers           headerList
	rate              float64
	seconds           float64
	reuse             bool
}

type headerList []string

func (list *headerList) String() string { return strings.Join(*list, ",") }

func (list *headerList) Set(text string) error {
	*list = append(*list, text)
	return nil
}

// The result.  A request fails when no answer came, or one with a status of 500 or more.
type report struct {
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	Failures map[string]int `json:"failures"` // why -> how many
	FirstAt  string         `json:"first_at,omitempty"`
	LastAt   string         `json:"last_at,omitempty"`
	Examples []string       `json:"examples,omitempty"` // when, how long, why, which request: for the logs
	Statuses map[string]int `json:"statuses"`
	ServedBy map[string]int `json:"served_by"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
	Max      float64        `json:"max_ms"`

	lock  sync.Mutex
	times []float64
}

const maxExamples = 40

func (r *report) fail(why, id string, took time.Duration) {
	now := time.Now().UTC().Format("15:04:05.000")
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf("%s %d ms %s %s", now, took.Milliseconds(), why, id))
	}
	if r.FirstAt == "" {
		r.FirstAt = now
	}
	r.LastAt = now
	r.Failed++
	r.Failures[why]++
}

func (r *report) add(res *http.Response, body string, err error, took time.Duration) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Sent++
	r.times = append(r.times, float64(took.Microseconds())/1000)
	if err != nil {
		r.fail(err.Error(), "", took)
		return
	}
	r.Statuses[fmt.Sprint(res.StatusCode)]++
	if by := res.Header.Get("X-Served-By"); by != "" {
		r.ServedBy[by]++
	}
	if res.StatusCode >= 500 {
		r.fail(fmt.Sprintf("status %d %s", res.StatusCode, problem(body)), res.Header.Get("X-Request-Id"), took)
	}
}

// What the answer says went wrong, without what is different each time.
func problem(body string) string {
	var said struct{ Code, Detail string }
	_ = json.Unmarshal([]byte(body), &said)
	return strings.TrimSpace(said.Code + " " + said.Detail)
}

func (r *report) finish() {
	sort.Float64s(r.times)
	if n := len(r.times); n > 0 {
		r.P50, r.P99, r.Max = r.times[n/2], r.times[n*99/100], r.times[n-1]
	}
}

func parse(args []string) plan {
	var p plan
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	flags.StringVar(&p.url, "url", "", "where to")
	flags.StringVar(&p.method, "method", "GET", "")
	flags.StringVar(&p.body, "body", "", "")
	flags.Var(&p.headers, "header", "NAME:VALUE, may be given again")
	flags.Float64Var(&p.rate, "rate", 50, "requests a second")
	flags.Float64Var(&p.seconds, "seconds", 10, "")
	flags.BoolVar(&p.reuse, "reuse", false, "keep connections open between requests")
	_ = flags.Parse(args)
	return p
}

func client(p plan) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives:   !p.reuse,
		MaxIdleConnsPerHost: 64,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}}
}

func (p plan) send(c *http.Client, r *report) {
	id := fmt.Sprintf("%x-%x", time.Now().UnixNano(), rand.Uint32())
	var headers []string
	for _, header := range p.headers {
		headers = append(headers, strings.ReplaceAll(header, "{id}", id))
	}
	req, err := newRequest(p.method, p.url, strings.ReplaceAll(p.body, "{id}", id), headers)
	if err != nil {
		fail(err)
	}
	began := time.Now()
	res, err := c.Do(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	r.add(res, string(body), err, time.Since(began))
}

// Requests start when it is their time, however long earlier ones take.
func load(args []string) *report {
	p := parse(args)
	r := &report{Failures: map[string]int{}, Statuses: map[string]int{}, ServedBy: map[string]int{}}
	c := client(p)
	pause := time.Duration(float64(time.Second) / p.rate)
	began := time.Now()
	var group sync.WaitGroup
	for n := 0; time.Duration(n)*pause < time.Duration(p.seconds*float64(time.Second)); n++ {
		time.Sleep(time.Until(began.Add(time.Duration(n) * pause)))
		group.Add(1)
		go func() {
			defer group.Done()
			p.send(c, r)
		}()
	}
	group.Wait()
	r.finish()
	return r
}
