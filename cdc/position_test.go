package cdc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPositionTextOrderIsPositionOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	positions := make([]Position, 2000)
	for i := range positions {
		p := Position{Epoch: rng.Uint32N(3), LSN: LSN(rng.Uint64N(1 << 40)), Ordinal: rng.Uint32N(4)}
		if p.Ordinal == 0 {
			p.Part = rng.Uint64()
		} else {
			p.Part = rng.Uint64N(3)
		}
		if i%3 == 0 && i > 0 { // neighbours
			p.Epoch, p.LSN = positions[i-1].Epoch, positions[i-1].LSN
		}
		positions[i] = p
	}
	byNumber := slices.Clone(positions)
	slices.SortFunc(byNumber, Position.Compare)
	byText := slices.Clone(positions)
	slices.SortFunc(byText, func(a, b Position) int {
		if a.String() < b.String() {
			return -1
		}
		if a.String() > b.String() {
			return 1
		}
		return 0
	})
	if !slices.Equal(byNumber, byText) {
		t.Error("the order of texts is not the order of positions")
	}
	for _, p := range positions {
		got, err := ParsePosition(p.String())
		if err != nil || got != p {
			t.Fatalf("ParsePosition(%q) = %v, %v; want %v", p.String(), got, err, p)
		}
	}
}

func TestPositionText(t *testing.T) {
	t.Parallel()
	streamed := Position{Epoch: 3, LSN: 0x16b3748, Ordinal: 12}
	if got, want := streamed.String(), "00000003/00000000016b3748/0000000c/00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	read := Position{Epoch: 3, LSN: 0x16b3748, Part: 77}
	if got, want := read.String(), "00000003/00000000016b3748/00000000/000000000000004d"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if read.Compare(streamed) >= 0 {
		t.Error("a snapshot row must sort before every streamed change of its LSN")
	}
	for _, bad := range []string{"", "3/16b3748/c/0", "00000003/00000000016b3748/0000000c/0", "00000003/00000000016B3748/0000000c/00", "00000003/00000000016b3748/0000000c/00/1"} {
		if p, err := ParsePosition(bad); err == nil {
			t.Errorf("ParsePosition(%q) = %v, want an error", bad, p)
		}
	}
}

// A record that a processor derived is behind the record that it came from.
func TestPositionWithThePathOfAStep(t *testing.T) {
	t.Parallel()
	for _, head := range []Position{{Epoch: 3, LSN: 0x16b3748, Ordinal: 12}, {Epoch: 3, LSN: 0x16b3748, Part: 77}} {
		for _, path := range []string{"0001", "0001/00ff"} {
			text := head.String() + "/" + path
			if got, err := ParsePosition(text); err != nil || got != head {
				t.Errorf("ParsePosition(%q) = %v, %v; want %v", text, got, err, head)
			}
			if p, rest := CutPath(text); p != head.String() || rest != path {
				t.Errorf("CutPath(%q) = %q, %q", text, p, rest)
			}
		}
		for _, bad := range []string{"/", "/1", "/0001/", "/000G", "/00010"} {
			if p, err := ParsePosition(head.String() + bad); err == nil {
				t.Errorf("ParsePosition(%q) = %v, want an error", head.String()+bad, p)
			}
		}
	}
}

func TestLSNText(t *testing.T) {
	t.Parallel()
	l, err := ParseLSN("16/B374D848")
	if err != nil || l != 0x16B374D848 || l.String() != "16/B374D848" {
		t.Errorf("got %v %v", l, err)
	}
	for _, bad := range []string{"", "16", "x/1", "1/100000000", "1/2/3"} {
		if _, err := ParseLSN(bad); err == nil {
			t.Errorf("ParseLSN(%q): want an error", bad)
		}
	}
}

// The values are those of Kafka's own test (UtilsTest.testMurmur2).
func TestPartitionIsKafkasMurmur2(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(text))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", text, got, want)
		}
		if p := Partition([]byte(text), 6); p < 0 || p > 5 {
			t.Errorf("Partition(%q) = %d", text, p)
		}
	}
}
