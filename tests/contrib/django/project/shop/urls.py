"""The views that the suite asks for."""

from django.contrib.auth.models import Group
from django.core.mail import EmailMessage, send_mail
from django.db import transaction
from django.http import HttpResponse
from django.urls import path


def order(request):
    """Save something and send a mail about it."""
    with transaction.atomic():
        Group.objects.create(name="order")
        send_mail("Your order", "It is on its way.", None, ["ann@example.com"])
    return HttpResponse("thanks")


def broken(request):
    """Fail as views do."""
    raise RuntimeError("a view is broken")


def unsendable(request):
    """Send what cannot be carried, in a transaction, and go on."""
    with transaction.atomic():
        Group.objects.create(name="kept")
        message = EmailMessage("s", "b", None, ["ann@example.com"])
        message.context = object()
        try:
            message.send()
        except TypeError as error:
            return HttpResponse(str(error))
    return HttpResponse("sent")


urlpatterns = [path("order/", order), path("broken/", broken), path("unsendable/", unsendable)]
