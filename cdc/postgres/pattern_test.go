package postgres_test

import (
	"strings"
	"testing"

	"github.com/tailrace/tailrace/cdc/postgres"
)

// TestARegularExpressionHasToMatchTheWholeName: also where the name has a line
// break, or the expression alternatives.
func TestARegularExpressionHasToMatchTheWholeName(t *testing.T) {
	t.Parallel()
	d := newCatalogDB(t, "CREATE PUBLICATION pub")
	d.exec(shop + `; CREATE TABLE shop."orders` + "\n" + `x" (id int)`)
	tests := []struct{ include, exclude, want string }{
		{`/shop\.orders/`, "", "shop.orders"},
		{`/orders/`, "", ""},
		{`/shop\.(orders|items)/`, "", "shop.items, shop.orders"},
		{`/shop\.orders|items/`, "", "shop.orders"},
		{`/(?i)SHOP\.ORDERS/`, "", "shop.orders"},
		{`/SHOP\.ORDERS/`, "", ""},
		{`/shop\..*/`, `/.*\.(orders|items)/ /(?s).*x/`, "shop.events_1, tailrace.events_2_a"},
		{`shop.*`, `/.*\.events_[0-9]/`, "shop.items, shop.orders, shop.orders\nx"},
		{`/shop\.events/`, "", "shop.events_1, tailrace.events_2_a"},
		{`/A.b\.Odd "name/`, "", `A.b.Odd "name`},
	}
	for _, test := range tests {
		include := []string{test.include}
		got, err := d.catalog.Match(t.Context(), include, strings.Fields(test.exclude))
		if err != nil || listed(got) != test.want {
			t.Errorf("include %q, exclude %q:\n got %s, %v\nwant %s", test.include, test.exclude, listed(got), err, test.want)
		}
	}
}

func TestCheckPatternSaysWhatItWants(t *testing.T) {
	t.Parallel()
	for pattern, says := range map[string]string{
		"public.orders": "", "*.*": "", "public.*": "", `/a\.b/`: "", "//": "", "/a/b.c/": "",
		"orders": "want schema.table", "/": "want schema.table", "/orders": "want schema.table",
		"/(/": "RE2", "/a)|(b/": "RE2", `/(?=x)/`: "RE2",
	} {
		switch err := postgres.CheckPattern(pattern); {
		case says == "" && err != nil:
			t.Errorf("%q: %v", pattern, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), pattern)):
			t.Errorf("%q: got %v, want an error that names it and says %q", pattern, err, says)
		}
	}
}
