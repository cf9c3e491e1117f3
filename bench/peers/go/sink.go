// SPDX-License-Identifier: MIT

// Drops what it reads and, at the peer's end, says how many bytes there were; in Go.
package main

import (
	"fmt"
	"io"
	"net"
)

func drop(guest net.Conn) {
	dropped := make([]byte, 256*1024)
	count := 0
	for {
		n, err := guest.Read(dropped)
		count += n
		if err == io.EOF {
			fmt.Fprintf(guest, "%d\r\n", count)
		}
		if err != nil {
			return
		}
	}
}

func main() {
	serve(drop)
}
