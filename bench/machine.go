package bench

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// busy returns the share of this machine that is used during the given time, 0 to
// 1. It is negative if the system does not tell.
func busy(during time.Duration) float64 {
	idle, all := ticks()
	<-time.After(during)
	idle2, all2 := ticks()
	if all2 <= all {
		return -1
	}
	return 1 - (idle2-idle)/(all2-all)
}

// ticks returns the processors' idle time and all their time, of Linux.
func ticks() (idle, all float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			continue // the name of the line
		}
		all += n
		if i == 4 || i == 5 { // idle, and waiting for a disk
			idle += n
		}
	}
	return idle, all
}

// processor returns the name of the processor, or its architecture.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
