// Package deepcopy copies values so that whoever holds the original can no longer change the copy.
//
// It follows pointers, slices, maps, interfaces and exported fields. What it cannot copy it shares, and says so: functions,
// channels, and what fields that are not exported refer to. It never copies what is behind a pointer to a structure with such
// a field or with a lock: that may be a connection or a pool, which works only as itself. Protobuf messages and the numbers
// of math/big have their own way to be copied.
package deepcopy

import (
	"errors"
	"math/big"
	"reflect"
	"time"

	"google.golang.org/protobuf/proto"
)

// deepest bounds how deep a value may be nested: a goroutine that runs out of stack ends the process.
const deepest = 10_000

// ErrTooDeep is the error for a value that is nested too deep to be copied.
var ErrTooDeep = errors.New("is nested deeper than 10,000 levels")

// Of is a copy of a value, and whether it is whole. One that is not shares something with the original.
func Of[T any](value T) (copied T, whole bool, err error) {
	c := copier{known: map[visit]reflect.Value{}, whole: true}
	result := c.copy(reflect.ValueOf(&value).Elem(), 0)
	copied, _ = result.Interface().(T)
	if c.tooDeep {
		return copied, false, ErrTooDeep
	}
	return copied, c.whole, nil
}

// A copier copies one value.
type copier struct {
	// known are the copies of what can be met again: cycles stay cycles, and what was shared inside stays shared inside.
	known map[visit]reflect.Value
	// whole is false once something is shared with the original.
	whole bool
	// tooDeep is true once something was left out, as it was nested too deep.
	tooDeep bool
}

// A visit is a pointer, a map, or a slice by its first element and its length.
type visit struct {
	of      reflect.Type
	pointer uintptr
	length  int
}

var (
	location = reflect.TypeFor[time.Location]()
	moment   = reflect.TypeFor[time.Time]()
	number   = reflect.TypeFor[big.Int]()
	ratio    = reflect.TypeFor[big.Rat]()
	float    = reflect.TypeFor[big.Float]()
)

func (c *copier) copy(value reflect.Value, depth int) reflect.Value {
	if depth > deepest {
		c.tooDeep = true
		return reflect.Zero(value.Type())
	}
	switch value.Kind() {
	case reflect.Interface:
		if value.IsNil() {
			return value
		}
		copied := reflect.New(value.Type()).Elem()
		copied.Set(c.copy(value.Elem(), depth+1))
		return copied
	case reflect.Pointer:
		return c.pointer(value, depth)
	case reflect.Map:
		return c.table(value, depth)
	case reflect.Slice:
		return c.slice(value, depth)
	case reflect.Array:
		copied := reflect.New(value.Type()).Elem()
		copied.Set(value)
		if !flat(value.Type().Elem()) {
			for i := range value.Len() {
				copied.Index(i).Set(c.copy(value.Index(i), depth+1))
			}
		}
		return copied
	case reflect.Struct:
		return c.structure(value, depth)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		c.whole = c.whole && value.IsNil()
		return value
	default:
		return value
	}
}

func (c *copier) pointer(value reflect.Value, depth int) reflect.Value {
	if value.IsNil() || value.Type().Elem() == location {
		return value
	}
	at := visit{value.Type(), value.Pointer(), 0}
	if known, ok := c.known[at]; ok {
		return known
	}
	if copied, ok := own(value); ok {
		c.known[at] = copied
		return copied
	}
	if closed(value.Type().Elem()) {
		c.whole = false
		return value
	}
	copied := reflect.New(value.Type().Elem())
	if copied.Type() != value.Type() {
		copied = copied.Convert(value.Type())
	}
	c.known[at] = copied
	copied.Elem().Set(c.copy(value.Elem(), depth+1))
	return copied
}

// own is the copy of what has a way of its own to be copied.
func own(value reflect.Value) (reflect.Value, bool) {
	if !value.CanInterface() {
		return reflect.Value{}, false
	}
	switch original := value.Interface().(type) {
	case *big.Int:
		return reflect.ValueOf(new(big.Int).Set(original)), true
	case *big.Rat:
		return reflect.ValueOf(new(big.Rat).Set(original)), true
	case *big.Float:
		return reflect.ValueOf(new(big.Float).Copy(original)), true
	case proto.Message:
		return reflect.ValueOf(proto.Clone(original)), true
	}
	return reflect.Value{}, false
}

func (c *copier) table(value reflect.Value, depth int) reflect.Value {
	if value.IsNil() {
		return value
	}
	at := visit{value.Type(), value.Pointer(), 0}
	if known, ok := c.known[at]; ok {
		return known
	}
	copied := reflect.MakeMapWithSize(value.Type(), value.Len())
	c.known[at] = copied
	for entries := value.MapRange(); entries.Next(); {
		copied.SetMapIndex(c.copy(entries.Key(), depth+1), c.copy(entries.Value(), depth+1))
	}
	return copied
}

func (c *copier) slice(value reflect.Value, depth int) reflect.Value {
	if value.IsNil() {
		return value
	}
	at := visit{value.Type(), value.Pointer(), value.Len()}
	if known, ok := c.known[at]; ok && value.Len() > 0 {
		return known
	}
	copied := reflect.MakeSlice(value.Type(), value.Len(), value.Len())
	c.known[at] = copied
	if flat(value.Type().Elem()) {
		reflect.Copy(copied, value)
		return copied
	}
	for i := range value.Len() {
		copied.Index(i).Set(c.copy(value.Index(i), depth+1))
	}
	return copied
}

func (c *copier) structure(value reflect.Value, depth int) reflect.Value {
	copied := reflect.New(value.Type()).Elem()
	copied.Set(value)
	switch value.Type() {
	case moment:
		return copied
	case number, ratio, float:
		if value.CanAddr() {
			other, _ := own(value.Addr())
			copied.Set(other.Elem())
			return copied
		}
	}
	c.fields(copied, value, depth)
	return copied
}

// fields copies the exported fields of a structure, those of embedded ones included.
func (c *copier) fields(copied, value reflect.Value, depth int) {
	for i := range value.NumField() {
		field := value.Type().Field(i)
		switch {
		case flat(field.Type):
		case field.IsExported():
			copied.Field(i).Set(c.copy(value.Field(i), depth+1))
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			c.fields(copied.Field(i), value.Field(i), depth+1)
		default:
			c.whole = false
		}
	}
}

// closed says whether a type is a structure with a lock, or with a field that is not exported and refers to something.
func closed(of reflect.Type) bool {
	if of.Kind() != reflect.Struct || of == moment {
		return false
	}
	for i := range of.NumField() {
		field := of.Field(i)
		lock := field.Type.PkgPath() == "sync" || field.Type.PkgPath() == "sync/atomic"
		embedded := field.Anonymous && field.Type.Kind() == reflect.Struct
		if lock || !field.IsExported() && !embedded && !flat(field.Type) || embedded && closed(field.Type) {
			return true
		}
	}
	return false
}

// flat says whether values of a type hold nothing that can be changed through another value.
func flat(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Bool, reflect.String, reflect.Complex64, reflect.Complex128, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	case reflect.Array:
		return flat(of.Elem())
	case reflect.Struct:
		if of == moment {
			return true
		}
		for i := range of.NumField() {
			if !flat(of.Field(i).Type) {
				return false
			}
		}
		return true
	default:
		return false
	}
}
