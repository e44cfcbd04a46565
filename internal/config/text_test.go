package config

import (
	"strings"
	"testing"
)

func TestRedactHidesPasswords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://user:secret@host:5432/db":                  "postgres://user:xxxxx@host:5432/db",
		"postgres://user@host:5432/db":                         "postgres://user@host:5432/db",
		"postgres://h1:5432,h2:5432/db":                        "postgres://h1:5432,h2:5432/db",
		"postgres:///db?user=u&password=secret&x=1":            "postgres:///db?user=u&password=xxxxx&x=1",
		"postgres://u:se/cr@et@host/db":                        "postgres://u:xxxxx@host/db",
		"postgres://u:12/34@host/db":                           "postgres://u:xxxxx@host/db",
		"http://a:s1@h1:80,http://b:s2@h2":                     "http://a:xxxxx@h1:80,http://b:xxxxx@h2",
		"host=h password=secret dbname=d":                      "host=h password=xxxxx dbname=d",
		`host=h password = 'se cr\'et' sslpassword=x dbname=d`: "host=h password = xxxxx sslpassword=xxxxx dbname=d",
		"http://127.0.0.1:8081":                                "http://127.0.0.1:8081",
		"parse \"postgres://u:p w@h\": bad":                    "parse \"postgres://u:p w@h\": bad",
		"127.0.0.1:9092":                                       "127.0.0.1:9092",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q)\n got %q\nwant %q", in, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Size{"0": 0, "1B": 1, "512KiB": 512 * KiB, "8MiB": 8 * MiB, "5 GiB": 5 * GiB, "2TiB": 2 * TiB} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q is written %q, which is read as %d, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"", "1", "1MB", "MiB", "x KiB", "1.5GiB", "9999999999TiB", "-"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

// FuzzParse holds that no file makes the reader panic or hang, and that what is
// shown of a valid one is read back the same.
func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add("free: &x [*x, {a: 'b'}, \"${A:-c}\"]\n" + minimal)
	f.Add("tables: {a: {key: [b]}}\nsteps:\n- filter:\n    where: |\n      x\n" + minimal)
	f.Fuzz(func(t *testing.T, text string) {
		var c testConfig
		file, err := Parse("f.yaml", []byte(text), &c, environment("A=1"))
		if err != nil {
			return
		}
		shown := file.Show(&c)
		if strings.Contains(shown, "xxxxx") || strings.Contains(shown, "${") || c.Free != nil {
			return
		}
		var again testConfig
		second, err := Parse("g.yaml", []byte(shown), &again, environment())
		if err != nil {
			t.Fatalf("%v\nin what is shown of %q:\n%s", err, text, shown)
		}
		if got := second.Show(&again); got != shown {
			t.Fatalf("shown\n%s\nthen\n%s", shown, got)
		}
	})
}
