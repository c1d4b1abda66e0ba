package aegis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// recorded is what the record has of an action that ran once, in the type of the function that would have run it again. What the type
// cannot hold whole is an error, and never a value with gaps.
func recorded[T any](reported *AlreadyReportedError) (T, error) {
	var none T
	data := reported.Result.Data
	if data == nil {
		if !canBeNothing(reflect.TypeFor[T]()) {
			reported.Cause = errors.New("there is no data on the record")
			return none, reported
		}
		return none, nil
	}
	if as, ok := data.(T); ok {
		return as, nil
	}
	text, err := json.Marshal(data)
	if err == nil {
		reader := json.NewDecoder(bytes.NewReader(text))
		reader.DisallowUnknownFields()
		var as T
		if err = reader.Decode(&as); err == nil {
			return as, nil
		}
	}
	reported.Cause = fmt.Errorf("the data on the record is no %s: %w", reflect.TypeFor[T](), err)
	return none, reported
}

// canBeNothing says whether a type has a value that stands for nothing.
func canBeNothing(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Map, reflect.Slice:
		return true
	default:
		return of.Size() == 0
	}
}

// asResult is the result in a plan of an action that ran once.
func (e *AlreadyReportedError) asResult() Result {
	decision := e.Decision.clone()
	result := Result{
		Action: e.Action, Decision: &decision, Status: e.Result.Status, Data: e.Result.Data,
		StartedAt: e.Result.StartedAt, CompletedAt: e.Result.CompletedAt,
	}
	if result.Status != StatusSuccess {
		result.Err = e
	}
	return result
}
