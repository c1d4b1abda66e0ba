package aegisgrpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
)

// A stream is one that is reported when it ends.
type stream struct {
	grpc.ClientStream
	execution *aegis.Execution
	ctx       context.Context
	// many says whether more than one message may come.
	many bool
	// forget stops watching for the end of the context.
	forget func() bool
}

// RecvMsg receives, and reports the end of the stream when there is nothing more to come.
func (s *stream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil && s.many {
		return nil
	}
	// When the context ended the stream, that is what is reported.
	s.forget()
	if err == nil || errors.Is(err, io.EOF) {
		if failed := s.execution.End(s.ctx, nil, nil); failed != nil {
			return failed
		}
		return err
	}
	if failed := s.execution.End(s.ctx, nil, err); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// An unopened stream is one to which the client sends one message. It is proposed with that message, and opened then.
type unopened struct {
	ctx    context.Context
	action aegis.Action
	begin  func(aegis.Action) (*stream, error)

	lock sync.Mutex
	sent bool
	// open is nil until the message was sent.
	open *stream
}

// current is the stream, once it is there.
func (u *unopened) current() (*stream, error) {
	u.lock.Lock()
	defer u.lock.Unlock()
	if u.open == nil {
		return nil, status.Error(codes.Internal, "aegisgrpc: the stream is opened by its one message, which was not sent")
	}
	return u.open, nil
}

// SendMsg proposes the message, opens the stream if it is allowed, and sends a copy of the message.
func (u *unopened) SendMsg(message any) error {
	u.lock.Lock()
	defer u.lock.Unlock()
	if u.sent {
		return status.Error(codes.Internal, "aegisgrpc: the stream takes one message, and this is another one")
	}
	u.sent = true
	held, params, err := hold(message)
	if err != nil {
		return err
	}
	action := u.action
	action.Params = params
	open, err := u.begin(action)
	if err != nil {
		return err
	}
	u.open = open
	return open.SendMsg(held)
}

// RecvMsg receives, once the message was sent.
func (u *unopened) RecvMsg(message any) error {
	open, err := u.current()
	if err != nil {
		return err
	}
	return open.RecvMsg(message)
}

// CloseSend says that nothing more is sent.
func (u *unopened) CloseSend() error {
	open, err := u.current()
	if err != nil {
		return err
	}
	return open.CloseSend()
}

// Header waits for the header, once the message was sent.
func (u *unopened) Header() (metadata.MD, error) {
	open, err := u.current()
	if err != nil {
		return nil, err
	}
	return open.Header()
}

// Trailer is the trailer, if there is one.
func (u *unopened) Trailer() metadata.MD {
	open, err := u.current()
	if err != nil {
		return nil
	}
	return open.Trailer()
}

// Context is the context of the stream.
func (u *unopened) Context() context.Context {
	open, err := u.current()
	if err != nil {
		return u.ctx
	}
	return open.Context()
}

var _ grpc.ClientStream = (*unopened)(nil)
