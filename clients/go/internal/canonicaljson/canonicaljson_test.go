package canonicaljson

import (
	"math"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

// The numbers of RFC 8785, appendix B, by their bits.
func TestNumbersAreThoseOfTheRFC(t *testing.T) {
	for bits, want := range map[uint64]string{
		0x0000000000000000: "0",
		0x8000000000000000: "0",
		0x0000000000000001: "5e-324",
		0x8000000000000001: "-5e-324",
		0x7fefffffffffffff: "1.7976931348623157e+308",
		0xffefffffffffffff: "-1.7976931348623157e+308",
		0x4340000000000000: "9007199254740992",
		0xc340000000000000: "-9007199254740992",
		0x4430000000000000: "295147905179352830000",
		0x44b52d02c7e14af5: "9.999999999999997e+22",
		0x44b52d02c7e14af6: "1e+23",
		0x44b52d02c7e14af7: "1.0000000000000001e+23",
		0x444b1ae4d6e2ef4e: "999999999999999700000",
		0x444b1ae4d6e2ef4f: "999999999999999900000",
		0x444b1ae4d6e2ef50: "1e+21",
		0x3eb0c6f7a0b5ed8c: "9.999999999999997e-7",
		0x3eb0c6f7a0b5ed8d: "0.000001",
		0x41b3de4355555553: "333333333.3333332",
		0x41b3de4355555554: "333333333.33333325",
		0x41b3de4355555555: "333333333.3333333",
		0x41b3de4355555556: "333333333.3333334",
		0x41b3de4355555557: "333333333.33333343",
		0xbecbf647612f3696: "-0.0000033333333333333333",
		0x43143ff3c1cb0959: "1424953923781206.2",
	} {
		got, err := Append(nil, structpb.NewNumberValue(math.Float64frombits(bits)))
		if err != nil || string(got) != want {
			t.Errorf("%016x: %s, %v, and not %s", bits, got, err, want)
		}
	}
	for _, number := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := Append(nil, structpb.NewNumberValue(number)); err == nil {
			t.Errorf("%s", got)
		}
	}
}

// The example of RFC 8785, section 3.2.3, and that of its section 3.2.2.
func TestNamesAreInTheOrderOfTheRFC(t *testing.T) {
	sorted, err := AppendObject(nil, map[string]*structpb.Value{
		"\u20ac": structpb.NewStringValue("Euro Sign"), "\r": structpb.NewStringValue("Carriage Return"),
		"\ufb33": structpb.NewStringValue("Hebrew Letter Dalet With Dagesh"), "1": structpb.NewStringValue("One"),
		"\U0001f600": structpb.NewStringValue("Emoji: Grinning Face"), "\u0080": structpb.NewStringValue("Control"),
		"\u00f6": structpb.NewStringValue("Latin Small Letter O With Diaeresis"),
	})
	want := `{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis",` +
		`"€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`
	if err != nil || string(sorted) != want {
		t.Errorf("%s, %v, and not %s", sorted, err, want)
	}
	text, err := Append(nil, structpb.NewStringValue("\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"/\u2028<&\u007f"))
	if want := `"€$\u000f\nA'B\"\\\\\"/` + "\u2028<&\u007f" + `"`; err != nil || string(text) != want {
		t.Errorf("%s, %v, and not %s", text, err, want)
	}
	list, err := Append(nil, structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
		structpb.NewNullValue(), structpb.NewBoolValue(true), structpb.NewBoolValue(false), structpb.NewStructValue(nil),
	}}))
	if err != nil || string(list) != "[null,true,false,{}]" {
		t.Errorf("%s, %v", list, err)
	}
	for _, wrong := range []*structpb.Value{structpb.NewStringValue("\xff"), {}} {
		if got, err := Append(nil, wrong); err == nil {
			t.Errorf("%q", got)
		}
	}
}
