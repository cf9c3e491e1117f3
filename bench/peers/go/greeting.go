// SPDX-License-Identifier: MIT

// The greeting in Go: a Scanner finds the names, a Writer gathers the answers, and these are sent
// when there is nothing left to be read. A Flush for each answer would be a system call for each.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

const nameLimit = 1024

var errTooLong = errors.New("name too long")

// Gives one name; also of a partial line it may be told, already, that it is too long.
func splitName(data []byte, atEnd bool) (int, []byte, error) {
	end := bytes.Index(data, []byte("\r\n"))
	if end > nameLimit || end < 0 && len(bytes.TrimSuffix(data, []byte("\r"))) > nameLimit {
		return 0, nil, errTooLong
	}
	if end >= 0 {
		return end + 2, data[:end], nil
	}
	if atEnd {
		return len(data), nil, nil // a name without its end is none
	}
	return 0, nil, nil
}

// Before it waits for more, what was written is sent.
type flushingReader struct {
	reader io.Reader
	writer *bufio.Writer
}

func (f flushingReader) Read(data []byte) (int, error) {
	if err := f.writer.Flush(); err != nil {
		return 0, err
	}
	return f.reader.Read(data)
}

// To close with input unread would reset the connection, and destroy the last answer.
func sayFarewell(guest *net.TCPConn) {
	guest.CloseWrite()
	guest.SetReadDeadline(time.Now().Add(2 * time.Second))
	io.Copy(io.Discard, guest)
}

func greet(guest net.Conn) {
	writer := bufio.NewWriter(guest)
	names := bufio.NewScanner(flushingReader{guest, writer})
	names.Split(splitName)
	for names.Scan() {
		writer.WriteString("Hello, ")
		writer.Write(names.Bytes())
		writer.WriteString("!\r\n")
	}
	if names.Err() == errTooLong {
		writer.WriteString("error: name too long\r\n")
		writer.Flush()
		sayFarewell(guest.(*net.TCPConn))
	}
}

func main() {
	serve(greet)
}
