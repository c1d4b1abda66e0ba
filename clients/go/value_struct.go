package aegis

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/aegis-sidecar/aegis/clients/go/internal/exactjson"
)

// A structField is a field of a structure as JSON has it.
type structField struct {
	name string
	// index is the way to it, through embedded structures.
	index []int
	// tagged says whether the name is from a tag.
	tagged bool
	// omitEmpty, omitZero and quoted are the options of the tag.
	omitEmpty, omitZero, quoted bool
}

// structFields are the fields of structures by their types: []structField, or an error.
var structFields sync.Map

// structure writes a structure field by field, and not by encoding/json: that writes a URL, an error or a lock as {}, and says
// of a number that is too large not where it is.
func (e *encoder) structure(path string, value reflect.Value) (*structpb.Value, error) {
	of := value.Type()
	found, ok := structFields.Load(of)
	if !ok {
		fields, problem := fieldsOf(of)
		found = fields
		if problem != "" {
			found = problem
		}
		structFields.Store(of, found)
	}
	if problem, wrong := found.(string); wrong {
		return nil, &InvalidActionError{Path: path, Problem: problem}
	}
	written := map[string]*structpb.Value{}
	fields, _ := found.([]structField)
	for _, field := range fields {
		held, err := value.FieldByIndexErr(field.index)
		if err != nil || field.omitEmpty && empty(held) || field.omitZero && zero(held) {
			// An embedded pointer is nil: its fields are not there.
			continue
		}
		at := exactjson.Member(path, field.name)
		if field.quoted {
			held = quoted(held)
		}
		if written[field.name], err = e.value(at, held); err != nil {
			return nil, err
		}
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: written}), nil
}

// fieldsOf are the fields of a structure, by the rules of encoding/json. Where those would leave something out without a word,
// there is a problem instead.
func fieldsOf(of reflect.Type) (fields []structField, problem string) {
	byName := map[string][]structField{}
	collect(of, nil, map[reflect.Type]bool{}, func(field structField) { byName[field.name] = append(byName[field.name], field) })
	for name, candidates := range byName {
		chosen := dominant(candidates)
		if len(chosen) > 1 {
			return nil, fmt.Sprintf("is a %s, in which two fields are called %q: JSON would show neither", of, name)
		}
		fields = append(fields, chosen[0])
	}
	slices.SortFunc(fields, func(a, b structField) int { return slices.Compare(a.index, b.index) })
	if len(fields) == 0 && of.NumField() > 0 {
		return nil, fmt.Sprintf("is a %s, of which JSON would show nothing: send what it stands for", of)
	}
	return fields, ""
}

// dominant are those fields of one name that encoding/json would take: one, or several that it would all leave out.
func dominant(candidates []structField) []structField {
	best := []structField{candidates[0]}
	for _, field := range candidates[1:] {
		depth, deepest := len(field.index), len(best[0].index)
		switch {
		case depth < deepest, depth == deepest && field.tagged && !best[0].tagged:
			best = []structField{field}
		case depth == deepest && field.tagged == best[0].tagged:
			best = append(best, field)
		}
	}
	return best
}

// collect finds all fields of a structure, those of embedded ones included.
func collect(of reflect.Type, way []int, inside map[reflect.Type]bool, take func(structField)) {
	if inside[of] {
		return
	}
	inside[of] = true
	defer delete(inside, of)
	for i := range of.NumField() {
		field := of.Field(i)
		target := field.Type
		if field.Anonymous && target.Kind() == reflect.Pointer {
			target = target.Elem()
		}
		if !field.IsExported() && (!field.Anonymous || target.Kind() != reflect.Struct) {
			continue
		}
		tag := field.Tag.Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		index := append(append([]int{}, way...), i)
		if name == "" && field.Anonymous && target.Kind() == reflect.Struct {
			collect(target, index, inside, take)
			continue
		}
		found := structField{name: name, index: index, tagged: name != ""}
		if name == "" {
			found.name = field.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			found.omitEmpty = found.omitEmpty || option == "omitempty"
			found.omitZero = found.omitZero || option == "omitzero"
			found.quoted = found.quoted || option == "string"
		}
		take(found)
	}
}

func empty(value reflect.Value) bool {
	switch value.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return value.Len() == 0
	case reflect.Struct:
		return false
	default:
		return value.IsZero()
	}
}

func zero(value reflect.Value) bool {
	if value.CanInterface() && (value.Kind() != reflect.Pointer || !value.IsNil()) {
		if asked, ok := value.Interface().(interface{ IsZero() bool }); ok {
			return asked.IsZero()
		}
	}
	return value.IsZero()
}

// quoted is a number or a truth value as text, as the option "string" of a tag asks for.
func quoted(value reflect.Value) reflect.Value {
	for value.Kind() == reflect.Pointer && !value.IsNil() {
		value = value.Elem()
	}
	switch {
	case value.CanInt():
		return reflect.ValueOf(strconv.FormatInt(value.Int(), 10))
	case value.CanUint():
		return reflect.ValueOf(strconv.FormatUint(value.Uint(), 10))
	case value.CanFloat():
		return reflect.ValueOf(strconv.FormatFloat(value.Float(), 'g', -1, value.Type().Bits()))
	case value.Kind() == reflect.Bool:
		return reflect.ValueOf(strconv.FormatBool(value.Bool()))
	default:
		return value
	}
}
