// SPDX-License-Identifier: MIT

// What the servers in Go share: a goroutine for each connection, all in one thread at a time. Go
// turns TCP_NODELAY on by itself, and listens with the longest backlog.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
)

func serve(serveGuest func(net.Conn)) {
	address := "tcp://127.0.0.1:9999"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", strings.TrimPrefix(address, "tcp://"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on tcp://%s\n", listener.Addr())
	for { // until SIGTERM ends the process
		guest, err := listener.Accept()
		if err != nil {
			log.Print(err)
			continue
		}
		go func() {
			defer guest.Close()
			serveGuest(guest)
		}()
	}
}
