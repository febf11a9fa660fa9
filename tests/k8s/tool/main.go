// Command tool is the inside of the test pods: images of the shop have no shell to send requests with.
//
//	tool wait                          does nothing until SIGTERM
//	tool false                         fails (a probe that never succeeds)
//	tool connect HOST:PORT...          {"HOST:PORT": "open" | "refused" | "no answer" | "no such name"}
//	tool request METHOD URL [BODY] [NAME:VALUE...]   {"status", "headers", "body"}
//	tool load FLAGS                    requests at a constant rate, see load.go
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func fail(err error) {
	fmt.Fprintln(os.Stderr, "tool:", err)
	os.Exit(1)
}

func print(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

func wait() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("wait, false, connect, request or load"))
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "wait":
		wait()
	case "false":
		os.Exit(1)
	case "connect":
		print(connectAll(args))
	case "request":
		print(request(args))
	case "load":
		print(load(args))
	default:
		fail(fmt.Errorf("no such command: %s", os.Args[1]))
	}
}
