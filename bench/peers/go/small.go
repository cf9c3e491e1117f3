// SPDX-License-Identifier: MIT

// The smallest things in Go, as bench/yield.c measures those of Evert:
//
//	small ROUNDS        prints one line of JSON: the nanoseconds of each round
//	small park COUNT    says "ready" when so many goroutines wait, until standard input ends
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"time"
)

const (
	crowd   = 1000
	batches = 21
	yields  = 100 * 1000
	many    = 1000 * 1000
)

func nanosecondsEach(began time.Time, count int) float64 {
	return float64(time.Since(began).Nanoseconds()) / float64(count)
}

func inCrowd(count int, work func()) {
	var all sync.WaitGroup
	all.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			work()
			all.Done()
		}()
	}
	all.Wait()
}

func measurePair() float64 {
	began := time.Now()
	inCrowd(2, func() {
		for i := 0; i < yields; i++ {
			runtime.Gosched()
		}
	})
	return nanosecondsEach(began, 2*yields)
}

func measureSpawn() float64 {
	values := make([]float64, batches)
	inCrowd(crowd, func() {})
	for i := range values {
		began := time.Now()
		inCrowd(crowd, func() {})
		values[i] = nanosecondsEach(began, crowd)
	}
	sort.Float64s(values)
	return values[batches/2]
}

// Any moment of an hour that begins in an hour.
func setTimer(random *uint64) *time.Timer {
	*random = *random*6364136223846793005 + 1442695040888963407
	return time.AfterFunc(time.Hour+time.Duration(*random>>22), func() {})
}

// Those that were stopped leave the heap when the scheduler comes by, so it does.
func measureTimers() float64 {
	random, others := uint64(1), make([]*time.Timer, many)
	for i := range others {
		others[i] = setTimer(&random)
	}
	began := time.Now()
	for i := 0; i < many; i++ {
		setTimer(&random).Stop()
		if i%crowd == 0 {
			runtime.Gosched()
		}
	}
	taken := nanosecondsEach(began, many)
	for _, timer := range others {
		timer.Stop()
	}
	runtime.Gosched()
	return taken
}

func measureAll(rounds int) {
	measures := map[string]func() float64{
		"pair": measurePair, "spawn": measureSpawn, "timers": measureTimers}
	values := map[string][]float64{}
	for name, measure := range measures {
		measure() // the first time is not like the others
		for round := 0; round < rounds; round++ {
			values[name] = append(values[name], measure())
		}
	}
	line, _ := json.Marshal(values)
	fmt.Println(string(line))
}

func park(count int) {
	var begun sync.WaitGroup
	never := make(chan struct{})
	begun.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			begun.Done()
			<-never
		}()
	}
	begun.Wait()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) > 2 && os.Args[1] == "park" {
		count, _ := strconv.Atoi(os.Args[2])
		park(count)
		return
	}
	rounds := 5
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	measureAll(rounds)
}
