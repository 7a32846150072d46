"""The pages: a first one, and Django's own for accounts."""

from django.http import HttpResponse
from django.urls import include, path


def home(request):
    """Say who is here."""
    return HttpResponse(f"Hello {request.user.get_username() or 'stranger'}", content_type="text/plain")


urlpatterns = [path("", home), path("accounts/", include("django.contrib.auth.urls"))]
