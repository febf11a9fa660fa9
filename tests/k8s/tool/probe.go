package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

const connectTime = 2 * time.Second

func connect(address string) string {
	conn, err := net.DialTimeout("tcp", address, connectTime)
	var noName *net.DNSError
	switch {
	case err == nil:
		conn.Close()
		return "open"
	case errors.As(err, &noName):
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	default:
		return "no answer"
	}
}

// All at the same time: most of them take the whole time.
func connectAll(addresses []string) map[string]string {
	results := map[string]string{}
	var lock sync.Mutex
	var group sync.WaitGroup
	for _, address := range addresses {
		group.Add(1)
		go func(address string) {
			defer group.Done()
			result := connect(address)
			lock.Lock()
			defer lock.Unlock()
			results[address] = result
		}(address)
	}
	group.Wait()
	return results
}

type answer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func newRequest(method, url, body string, headers []string) (*http.Request, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		req.Header.Set(name, value)
	}
	return req, nil
}

func request(args []string) answer {
	args = append(args, "", "", "")
	method, url, body, headers := args[0], args[1], args[2], args[3:]
	req, err := newRequest(method, url, body, dropEmpty(headers))
	if err != nil {
		fail(err)
	}
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		fail(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		fail(err)
	}
	found := answer{Status: res.StatusCode, Headers: map[string]string{}, Body: string(text)}
	for name := range res.Header {
		found.Headers[name] = res.Header.Get(name)
	}
	return found
}

func dropEmpty(list []string) (kept []string) {
	for _, item := range list {
		if item != "" {
			kept = append(kept, item)
		}
	}
	return kept
}
