package aegis

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// A stream is one that the daemon sends.
type stream[Message any] struct {
	client *Client
	config callConfig
	name   string
	// open opens it: again after it broke, from where it stood.
	open func(context.Context) (grpc.ServerStreamingClient[Message], error)
	// ends says whether it ends by itself. One that does not and ends all the same is opened again.
	ends bool
	// resumable says whether it can be opened again where it stands. Nil: always.
	resumable func() bool
	// reopened is called before it is opened again, if something had been received: false ends it.
	reopened func() bool
}

// each gives each message to a function until that returns false or the stream is over. One that breaks is opened again, for
// as long as the context lasts; one that never was there, only as often as a call is made again.
func (s stream[Message]) each(ctx context.Context, take func(*Message) bool) error {
	heard, failures := false, 0
	for {
		began := time.Now()
		received, more, err := s.once(ctx, take)
		if !more {
			return nil
		}
		if received {
			heard = true
		}
		if errors.Is(err, io.EOF) && s.ends {
			return nil
		}
		failed := newError(ctx, s.client.endpoint.text, s.name, err)
		if ctx.Err() != nil || !s.breaks(failed, err, heard) || !heard && failures >= s.config.retries {
			return failed
		}
		if received && time.Since(began) > longestDelay {
			failures = 0
		}
		if !failed.pause(ctx, s.config.retryDelay, failures) {
			return newError(ctx, s.client.endpoint.text, s.name, ctx.Err())
		}
		failures++
		if heard && s.reopened != nil && !s.reopened() {
			return nil
		}
	}
}

// breaks says whether a stream that ended so may be opened again.
func (s stream[Message]) breaks(failed *Error, err error, heard bool) bool {
	if heard && s.resumable != nil && !s.resumable() {
		return false
	}
	if failed.transient() || errors.Is(err, io.EOF) {
		return true
	}
	// A connection that ends under a stream shows as one of these, without a word of the daemon's.
	connection := failed.Code == codes.Internal || failed.Code == codes.Canceled || failed.Code == codes.Unknown
	return heard && failed.Reason == "" && connection
}

// once reads one stream to its end: whether anything came, whether more is wanted, and how it ended.
func (s stream[Message]) once(ctx context.Context, take func(*Message) bool) (received, more bool, err error) {
	ctx, cancel := context.WithCancel(own(ctx))
	defer cancel()
	source, err := s.open(ctx)
	if err != nil {
		return false, true, err
	}
	for {
		message, err := source.Recv()
		if err != nil {
			return received, true, err
		}
		received = true
		if !take(message) {
			return true, false, nil
		}
	}
}
