package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a unit: 512KiB, 8MiB. Only 0 needs
// none.
type Size int64

// The units.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var sizeUnits = []struct {
	suffix string
	size   Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// ParseSize reads a size as it is written in a configuration file.
func ParseSize(s string) (Size, error) {
	if s == "0" {
		return 0, nil
	}
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			break
		}
		if v := n * int64(u.size); v/int64(u.size) == n {
			return Size(v), nil
		}
		return 0, fmt.Errorf("size %s is too large", s)
	}
	return 0, fmt.Errorf("want a size in B, KiB, MiB, GiB or TiB, such as 512KiB or 8MiB")
}

// String is the size in the largest unit that holds it without a fraction.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.suffix
		}
	}
	return "0"
}
